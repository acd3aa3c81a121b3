'use strict';
(function () {
  const root = document.documentElement;
  root.classList.add('script');
  const copy = document.getElementById('copy');
  if (copy) copy.onclick = function () {
    const code = document.getElementById('command');
    getSelection().selectAllChildren(code);
    const done = function () { copy.textContent = 'copied'; };
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, function () {});
    else if (document.execCommand('copy')) done();
  };
  const svg = document.getElementById('timeline');
  if (!svg) return;
  const left = +svg.dataset.left, wide = +svg.dataset.wide, long = +svg.dataset.long;
  const bins = JSON.parse(document.getElementById('bins').textContent);
  const axis = document.getElementById('axis'), cross = document.getElementById('cross');
  const brush = document.getElementById('brush'), reading = document.getElementById('reading');
  const plots = Array.from(svg.querySelectorAll('svg.z')), texts = Array.from(svg.querySelectorAll('.t'));
  const patterns = svg.querySelectorAll('pattern');
  let from = 0, to = long, down = null;
  const px = function (ms) { return left + (ms - from) / (to - from) * wide; };
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 12e5, 18e5, 36e5, 72e5, 144e5, 432e5];
  const two = function (n) { return String(n).padStart(2, '0'); };
  function clock(ms, step) {
    const s = ms / 1e3, whole = Math.floor(s);
    if (step < 6e4 && (step < 1e3 || to < 12e4)) return +s.toFixed(step < 10 ? 3 : step < 1e3 ? 2 : 0) + ' s';
    const minutes = Math.floor(whole / 60) % 60 + ':' + two(whole % 60);
    return whole < 3600 ? minutes : Math.floor(whole / 3600) + ':' + minutes.padStart(5, '0');
  }
  function add(name, attributes, text) {
    const node = document.createElementNS(svg.namespaceURI, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text) node.textContent = text;
    axis.appendChild(node);
  }
  function drawAxis() {
    const y = +axis.dataset.y, step = steps.find(function (it) { return (to - from) / it <= 12; }) || steps[steps.length - 1];
    axis.textContent = '';
    add('path', { class: 'axis', d: 'M' + left + ' ' + y + 'h' + wide });
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      add('path', { class: 'axis', d: 'M' + px(at) + ' ' + y + 'v5' });
      add('text', { class: 'tick mid', x: px(at), y: y + 18 }, clock(at, step));
    }
  }
  function zoom(a, b) {
    if (b - a < 20) { const middle = (a + b) / 2; a = middle - 10; b = middle + 10; }
    from = Math.max(0, a); to = Math.min(long, b);
    if (to - from < 1) { from = 0; to = long; }
    for (const plot of plots) plot.setAttribute('viewBox', from + ' 0 ' + (to - from) + ' ' + plot.getAttribute('height'));
    for (const pattern of patterns) pattern.setAttribute('patternTransform', 'scale(' + (to - from) / long + ' 1)');
    let free = 0;
    for (const text of texts) {
      const reign = text.classList.contains('reigns');
      const a = Math.max(+text.dataset.a, from), b = Math.min(+text.dataset.b, to);
      const x0 = px(a), x1 = px(b), room = 7 * text.textContent.length + 6;
      let seen = b > a && (reign ? x0 >= free : x1 - x0 >= room);
      if (seen && reign) free = x0 + room + 2;
      text.style.display = seen ? '' : 'none';
      text.setAttribute('x', reign ? x0 + 4 : (x0 + x1) / 2);
    }
    drawAxis();
  }
  function time(event) {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
    const x = Math.min(Math.max((event.clientX - box.left) * scale, left), left + wide);
    return { x: x, ms: from + (x - left) / wide * (to - from) };
  }
  const us = function (n) { return n < 1e3 ? n + ' µs' : n < 1e6 ? (n / 1e3).toPrecision(3) + ' ms' : (n / 1e6).toPrecision(3) + ' s'; };
  function read(at) {
    const bin = Math.floor(at.ms / bins.bin);
    let text = (at.ms / 1e3).toFixed(3) + ' s';
    if (bins.ok && bin < bins.ok.length) {
      text += '   ' + Math.round(bins.ok[bin] * 1e3 / bins.bin) + '/s answered';
      if (bins.failed) text += '   ' + bins.failed[bin] + ' failed, ' + bins.unknown[bin] + ' unknown';
      if (bins.ok[bin]) text += '\np50 ' + us(bins.p50[bin]) + '   p99 ' + us(bins.p99[bin]) + '   max ' + us(bins.max[bin]);
    }
    reading.textContent = text;
    reading.hidden = false;
    const box = svg.getBoundingClientRect(), x = at.x / svg.viewBox.baseVal.width * box.width;
    reading.style.left = (x < box.width / 2 ? x + 14 : x - reading.offsetWidth - 14) + 'px';
    cross.style.display = 'block';
    cross.setAttribute('transform', 'translate(' + at.x + ' 0)');
  }
  svg.addEventListener('pointermove', function (event) {
    const at = time(event);
    read(at);
    if (down) {
      brush.setAttribute('x', Math.min(down.x, at.x));
      brush.setAttribute('width', Math.abs(at.x - down.x));
    }
  });
  svg.addEventListener('pointerleave', function () { reading.hidden = true; cross.style.display = 'none'; });
  svg.addEventListener('pointerdown', function (event) {
    if (event.button === 0 && event.pointerType !== 'touch') { down = time(event); event.preventDefault(); }
  });
  addEventListener('pointerup', function (event) {
    if (!down) return;
    const at = time(event), a = down;
    down = null;
    brush.setAttribute('width', 0);
    if (Math.abs(at.x - a.x) > 6) zoom(Math.min(a.ms, at.ms), Math.max(a.ms, at.ms));
  });
  svg.addEventListener('dblclick', function () { zoom(0, long); });
  addEventListener('keydown', function (event) { if (event.key === 'Escape') zoom(0, long); });
  for (const row of document.querySelectorAll('.faults tbody tr')) row.addEventListener('click', function () {
    if (String(getSelection())) return;
    const a = +row.dataset.a, b = +row.dataset.b, more = Math.max(400, (b - a) * 0.4);
    zoom(a - more, b + more);
    svg.scrollIntoView({ block: 'center' });
  });
})();
