'use strict';
(function () {
  const LEFT = 76, WIDE = 1000, TOTAL = 1130, KEPT_US = 120e6, LOG_MAX = 100;
  const token = encodeURIComponent(document.documentElement.dataset.token);
  const by = function (id) { return document.getElementById(id); };
  const live = by('live'), nodes = new Map(), reigns = [], faults = [], seconds = [];
  // What is shown: the two minutes that are kept, or as much as there is so far.
  let shown = KEPT_US, now = 0, begun = 0, drawn = false, source = null;
  const LETTER = { leader: 'L', follower: 'F', candidate: 'C', learner: 'N', down: 'x', paused: 'P', silent: 'S', other: '?' };
  const COLOUR = { kill: 'k0', pause: 'k1', partition: 'k2', link: 'k3', restart: 'k4' };

  function mode(line) {
    if (line.state !== 'up') return LETTER[line.state] ? line.state : 'other';
    return LETTER[line.role] ? line.role : line.role === 'pre-candidate' ? 'candidate' : 'other';
  }
  function drop(list, end) { while (list.length && list[0][end] < now - shown) list.shift(); }
  function onState(line) {
    if (!nodes.has(line.node)) { nodes.set(line.node, []); buttons(); }
    const spans = nodes.get(line.node), is = mode(line), last = spans[spans.length - 1];
    if (last) last.to = Math.min(line.mono_us, last.to);
    if (last && last.is === is && last.term === line.term && last.to === line.mono_us) last.to += 1e6;
    else spans.push({ from: line.mono_us, to: line.mono_us + 1e6, is: is, term: line.term, applied: 0 });
    spans[spans.length - 1].applied = line.applied;
    const newest = reigns[reigns.length - 1];
    if (is === 'leader' && (!newest || newest.term < line.term)) reigns.push({ at: line.mono_us, node: line.node, term: line.term });
  }
  function onEvent(line) {
    const at = line.mono_ns / 1e3;
    const kind = line.fault || line.kind;
    if (line.kind === 'fault' || line.kind === 'kill' || line.kind === 'pause') {
      const what = line.what || line.kind + ' n' + line.node;
      faults.push({ kind: kind, number: line.number, node: line.node, from: at, to: Infinity, what: what });
    }
    for (const fault of faults) {
      const same = line.number !== undefined && fault.number === line.number;
      const back = fault.node === line.node && fault.node !== undefined && (line.kind === 'start' || line.kind === 'resume');
      if (fault.to === Infinity && ((line.kind === 'over' && same) || back || line.kind === 'heal')) fault.to = at;
    }
    if (line.cluster) by('name').textContent = line.cluster;
    if (line.kind === 'verdict') finish(line.verdict, line.why);
    if (line.kind === 'stopped') finish();
    const more = Object.keys(line).filter(function (key) { return !/^(mono_ns|wall|src|kind|pid|config)$/.test(key) && line[key] !== null; });
    const words = more.map(function (key) {
      if (key === 'node') return 'n' + line[key];
      if (/^(what|text|reason|evidence|why)$/.test(key)) return line[key];
      if (/_us$/.test(key)) return key.slice(0, -3).replace(/_/g, ' ') + ' ' + time(line[key]);
      return key.replace(/_/g, ' ') + ' ' + line[key];
    });
    const row = document.createElement('tr');
    for (const text of [clock(at), line.kind, words.join(', ')]) row.insertCell().textContent = text;
    by('log').prepend(row);
    while (by('log').rows && by('log').rows.length > LOG_MAX) by('log').deleteRow(-1);
  }
  function finish(verdict, why) {
    if (source) source.close();
    source = null;
    if (verdict) {
      by('strip').className = { PASS: 'pass', FAIL: 'fail', INCONCLUSIVE: 'open' }[verdict] || 'harness';
      by('sign').textContent = { PASS: '✓', FAIL: '✗', INCONCLUSIVE: '?' }[verdict] || '!';
    }
    by('verdict').textContent = verdict || 'OVER';
    by('why').textContent = why || 'the run is over: see its report.html';
    for (const button of document.querySelectorAll('[data-do]')) button.disabled = true;
  }
  function clock(us) { return begun ? ((us - begun) / 1e6).toFixed(2) + ' s' : ''; }
  const time = function (us) { return us < 1e3 ? us + ' µs' : us < 1e6 ? (us / 1e3).toPrecision(3) + ' ms' : (us / 1e6).toPrecision(3) + ' s'; };

  function button(act, target, words) {
    const node = document.createElement('button');
    node.type = 'button';
    node.dataset.do = act;
    node.dataset.target = target;
    node.textContent = words;
    return node;
  }
  function buttons() {
    const body = by('nodes').tBodies[0];
    body.textContent = '';
    for (const id of Array.from(nodes.keys()).sort(function (a, b) { return a - b; })) {
      const row = body.insertRow(), name = document.createElement('th');
      name.textContent = 'n' + id;
      row.append(name);
      row.insertCell().id = 'is-' + id;
      const cell = row.insertCell();
      for (const act of [['kill', 'kill'], ['pause', 'pause'], ['resume', 'resume'], ['partition', 'cut off'], ['heal', 'heal']]) {
        cell.append(button(act[0], 'n' + id, act[1]), ' ');
      }
    }
  }
  document.addEventListener('click', function (event) {
    const pressed = event.target.closest('[data-do]');
    if (!pressed) return;
    const body = { do: pressed.dataset.do, target: pressed.dataset.target }, said = by('said');
    said.textContent = body.do + ' ' + body.target + ' …';
    pressed.disabled = true;
    fetch('/do?token=' + token, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
      .then(function (answer) { return answer.text().then(function (text) { return answer.ok ? 'done' : 'refused: ' + text; }); })
      .catch(function () { return 'no answer'; })
      .then(function (text) { said.textContent = body.do + ' ' + body.target + ': ' + text; pressed.disabled = false; });
  });

  function make(parent, name, attributes, text) {
    const node = document.createElementNS(live.namespaceURI, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    parent.appendChild(node);
    return node;
  }
  const x = function (us) { return LEFT + Math.min(Math.max((us - now) / shown + 1, 0), 1) * WIDE; };
  function block(y, high, from, to, paint, title) {
    const wide = Math.max(x(to) - x(from), 1);
    const attributes = Object.assign({ x: x(from), y: y, width: wide, height: high }, paint);
    make(make(live, 'rect', attributes), 'title', {}, title);
    return wide;
  }
  function side(y, text, bold) { make(live, 'text', { class: (bold ? 'name' : 'tick') + ' end', x: LEFT - 8, y: y }, text); }
  function head(y, text) { make(live, 'text', { class: 'name', x: LEFT, y: y }, text); }
  function well(y, high) { make(live, 'rect', { class: 'well', x: LEFT, y: y, width: WIDE, height: high }); }

  function throughput(y) {
    const rate = function (it) { return it.ok * 1e6 / it.length_us; };
    const most = Math.max.apply(null, seconds.map(rate).concat(1));
    head(y - 6, 'Answered per second');
    side(y + 10, Math.round(most)); side(y + 110, 0);
    well(y, 110);
    for (const it of seconds) {
      const high = rate(it) / most * 106, bad = it.failed + it.unknown;
      if (high) block(y + 110 - high, high, it.mono_us - it.length_us, it.mono_us, { class: 'ok' }, Math.round(rate(it)) + '/s');
      if (bad) block(y + 113, 8, it.mono_us - it.length_us, it.mono_us, { class: it.failed ? 'failed' : 'unknown' }, it.failed + ' failed, ' + it.unknown + ' unknown');
    }
    side(y + 121, 'not ok');
  }
  function latency(y) {
    const high = function (us) { return 100 - Math.min(Math.max(Math.log10(Math.max(us, 1)) - 2, 0), 5) / 5 * 100; };
    head(y - 6, 'Latency, logarithmic');
    ['100 µs', '1 ms', '10 ms', '100 ms', '1 s', '10 s'].forEach(function (name, place) {
      make(live, 'path', { class: 'grid', d: 'M' + LEFT + ' ' + (y + 100 - place * 20) + 'h' + WIDE });
      side(y + 104 - place * 20, name);
    });
    for (const name of ['max', 'p99', 'p50']) {
      let path = '', end = 0;
      for (const it of seconds) {
        if (!it.ok || !it[name + '_us']) { end = 0; continue; }
        const from = Math.max(it.mono_us - it.length_us, now - shown), up = y + high(it[name + '_us']);
        path += (end && Math.abs(end - from) < 1e5 ? 'V' + up : 'M' + x(from) + ' ' + up) + 'H' + x(it.mono_us);
        end = it.mono_us;
      }
      make(live, 'path', { class: 'line ' + name, d: path });
    }
    ['max', 'p99', 'p50'].forEach(function (name, place) { make(live, 'text', { class: 'tag ' + name, x: LEFT + WIDE + 6, y: y + 30 + place * 14 }, name); });
  }
  function lane(y, id, spans) {
    side(y + 15, 'n' + id, true);
    well(y, 22);
    for (const it of spans) {
      const paint = /down|paused|silent/.test(it.is) ? { fill: 'url(#c-' + it.is + ')' } : { class: it.is };
      const end = Math.min(it.to, now), wide = block(y, 22, it.from, end, paint, 'n' + id + ' ' + it.is + ' in term ' + it.term);
      const name = it.is === 'leader' ? 'L t' + it.term : LETTER[it.is];
      if (wide > 7 * name.length + 6) make(live, 'text', { class: 'in ' + it.is, x: (x(it.from) + x(end)) / 2, y: y + 15 }, name);
    }
  }
  function draw() {
    drawn = false;
    shown = Math.min(Math.max(now - begun, 20e6), KEPT_US);
    nodes.forEach(function (spans) { drop(spans, 'to'); });
    drop(seconds, 'mono_us');
    drop(reigns, 'at');
    for (let i = faults.length - 1; i >= 0; i--) if (faults[i].to < now - shown) faults.splice(i, 1);
    live.textContent = '';
    side(14, 'leader');
    let free = 0, y = 44;
    for (const it of reigns) {
      make(live, 'path', { class: 'reign', d: 'M' + x(it.at) + ' 0v20' });
      if (x(it.at) >= free) { make(live, 'text', { class: 'reigns', x: x(it.at) + 4, y: 14 }, 'n' + it.node + ' t' + it.term); free = x(it.at) + 60; }
    }
    if (seconds.length) { throughput(y); y += 156; latency(y); y += 128; }
    head(y - 6, 'Nodes');
    for (const id of Array.from(nodes.keys()).sort(function (a, b) { return a - b; })) { lane(y, id, nodes.get(id)); y += 26; }
    y += 18;
    head(y - 6, 'Faults');
    for (const kind of Array.from(new Set(faults.map(function (it) { return it.kind; }))).sort()) {
      side(y + 12, kind.replace(/_/g, ' '));
      well(y, 16);
      for (const it of faults) if (it.kind === kind) block(y + 2, 12, it.from, Math.min(it.to, now), { class: 'fault ' + (COLOUR[kind] || 'k5') }, it.what);
      y += 19;
    }
    make(live, 'path', { class: 'axis', d: 'M' + LEFT + ' ' + y + 'h' + WIDE });
    const step = shown < 60e6 ? 5 : 20;
    for (let ago = 0; ago * 1e6 <= shown; ago += step) {
      make(live, 'text', { class: 'tick mid', x: LEFT + WIDE - ago * 1e6 / shown * WIDE, y: y + 18 }, ago ? '−' + ago + ' s' : 'now');
    }
    live.setAttribute('viewBox', '0 0 ' + TOTAL + ' ' + (y + 26));
    tiles();
  }
  function tiles() {
    const last = seconds[seconds.length - 1], reign = reigns[reigns.length - 1], list = [];
    if (last) {
      list.push([Math.round(last.ok * 1e6 / last.length_us), 'answered per second'], [last.p99_us ? time(last.p99_us) : '–', 'latency p99']);
      list.push([last.failed + ' / ' + last.unknown, 'failed / unknown']);
    }
    if (reign) list.push(['n' + reign.node + ', term ' + reign.term, 'last elected']);
    list.push([clock(now), 'since the begin']);
    const all = by('tiles');
    all.textContent = '';
    for (const tile of list) {
      const item = document.createElement('li'), value = document.createElement('b'), name = document.createElement('span');
      value.textContent = tile[0];
      name.textContent = tile[1];
      item.append(value, name);
      all.append(item);
    }
    nodes.forEach(function (spans, id) {
      const is = spans[spans.length - 1], cell = by('is-' + id);
      if (is && cell) cell.textContent = is.is + (is.term ? ', term ' + is.term + ', applied ' + is.applied : '');
    });
  }
  function take(message) {
    let line;
    try { line = JSON.parse(message.data); } catch (error) { return; }
    const at = line.mono_us || line.mono_ns / 1e3;
    if (!(at > 0)) return;
    begun = begun || at;
    now = Math.max(now, at);
    if (line.kind) onEvent(line);
    else if (line.state) onState(line);
    else if (line.ok !== undefined && line.length_us > 0) seconds.push(line);
    // As the browser finds time, four times a second at most.
    if (!drawn) { drawn = true; setTimeout(draw, 250); }
  }
  source = new EventSource('/events?token=' + token);
  source.onopen = function () { by('why').textContent = 'connected'; };
  source.onmessage = take;
  source.onerror = function () { if (source) by('why').textContent = 'the connection is lost; trying again'; };
})();
