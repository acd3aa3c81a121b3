//! The bytes of a file: what is on the disk below, and what is not there yet.

use std::collections::BTreeMap;
use std::io;

use super::super::DiskFile;
use super::Trouble;

/// What a power loss leaves whole.
const SECTOR: u64 = 512;
const SECTOR_BYTES: usize = 512;

type Sectors = BTreeMap<u64, Box<[u8; SECTOR_BYTES]>>;

pub(super) struct Bytes {
    below: Box<dyn DiskFile>,
    /// Whole sectors that are not durable, by their number. Where the file ends within one, zeros
    /// follow.
    unsynced: Sectors,
    /// Those that a failed sync took for written.
    forgotten: Sectors,
    /// The length, as it is to be.
    len: u64,
    /// Of what is on the disk below, what is behind this was cut off.
    valid: u64,
    /// Whether the length is to be made durable.
    len_changed: bool,
}

impl Bytes {
    pub(super) fn new(below: Box<dyn DiskFile>) -> io::Result<Self> {
        let len = below.len()?;
        let (unsynced, forgotten) = (Sectors::new(), Sectors::new());
        Ok(Self { below, unsynced, forgotten, len, valid: len, len_changed: false })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// How many bytes are not durable.
    pub(super) fn unsynced(&self) -> u64 {
        let all = self.unsynced.len() as u64 * SECTOR;
        match self.unsynced.last_key_value() {
            Some((&last, _)) => all - ((last + 1) * SECTOR).saturating_sub(self.len),
            None => 0,
        }
    }

    /// Whether the disk below holds all of it.
    pub(super) fn is_clean(&self) -> bool {
        self.unsynced.is_empty() && self.forgotten.is_empty() && !self.len_changed
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = rest.min(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        buffer.fill(0);
        let there = usize::try_from(self.valid.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.below.read_at(offset, buffer.get_mut(..there.min(count)).unwrap_or_default())?;
        for sectors in [&self.forgotten, &self.unsynced] {
            let last = offset.saturating_add(count as u64).div_ceil(SECTOR);
            for (number, sector) in sectors.range(offset / SECTOR..last) {
                lay(buffer, offset, &**sector, number * SECTOR);
            }
        }
        Ok(count)
    }

    pub(super) fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(data.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        for number in offset / SECTOR..end.div_ceil(SECTOR) {
            let start = number * SECTOR;
            let mut sector = match self.unsynced.remove(&number) {
                Some(sector) => sector,
                // Nothing of it has to be read if all of it is written.
                None if offset <= start && start + SECTOR <= end => Box::new([0; SECTOR_BYTES]),
                None => self.sector(number)?,
            };
            lay(&mut *sector, start, data, offset);
            self.unsynced.insert(number, sector);
        }
        if self.len < end {
            (self.len, self.len_changed) = (end, true);
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        if len < self.len {
            // What follows within the last sector is zero from now on.
            let (number, kept) = (len / SECTOR, usize::try_from(len % SECTOR).unwrap_or(0));
            if kept != 0
                && (self.unsynced.contains_key(&number) || self.forgotten.contains_key(&number))
            {
                let mut sector = self.sector(number)?;
                sector.get_mut(kept..).unwrap_or_default().fill(0);
                self.unsynced.insert(number, sector);
            }
            let behind = len.div_ceil(SECTOR);
            drop(self.unsynced.split_off(&behind));
            drop(self.forgotten.split_off(&behind));
            self.valid = self.valid.min(len);
        }
        self.len_changed |= self.len != len;
        self.len = len;
        Ok(())
    }

    /// Makes all of it durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        for (number, sector) in std::mem::take(&mut self.unsynced) {
            let position = number * SECTOR;
            if start + run.len() as u64 != position || RUN_MAX <= run.len() {
                self.put(start, &run)?;
                run.clear();
                start = position;
            }
            run.extend_from_slice(&*sector);
        }
        self.put(start, &run)?;
        if self.len_changed {
            self.cut()?;
            if self.below.len()? < self.len {
                self.below.set_len(self.len)?;
            }
            (self.valid, self.len_changed) = (self.len, false);
        }
        self.below.sync_data()
    }

    /// A sync has failed: all of it is taken for written.
    pub(super) fn forget(&mut self) {
        self.forgotten.append(&mut self.unsynced);
        self.len_changed = false;
    }

    /// Some of what was just written may reach the disk below at once: any of its sectors, a beginning,
    /// or all.
    pub(super) fn write_back(
        &mut self,
        offset: u64,
        len: u64,
        trouble: &dyn Trouble,
    ) -> io::Result<()> {
        let sectors = offset / SECTOR..offset.saturating_add(len).div_ceil(SECTOR);
        let count = sectors.end.saturating_sub(sectors.start).max(1);
        let way = trouble.draw(3);
        let whole = way != 0 && trouble.writes_back();
        let end = if way == 1 { sectors.start + trouble.draw(count + 1) } else { sectors.end };
        for number in sectors {
            let goes = if way == 0 { trouble.writes_back() } else { whole && number < end };
            if goes && let Some(sector) = self.unsynced.remove(&number) {
                self.put(number * SECTOR, &*sector)?;
            }
        }
        Ok(())
    }

    /// Writes sectors to the disk below, up to the end of the file.
    fn put(&mut self, position: u64, data: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let Some(data) = data.get(..room.min(data.len())).filter(|data| !data.is_empty()) else {
            return Ok(());
        };
        self.cut()?;
        self.below.write_at(position, data)?;
        self.valid = self.valid.max(position + data.len() as u64);
        Ok(())
    }

    /// Cuts off on the disk below what was cut off here.
    fn cut(&mut self) -> io::Result<()> {
        if self.valid < self.below.len()? {
            self.below.set_len(self.valid)?;
        }
        Ok(())
    }

    /// A sector as it is read.
    fn sector(&self, number: u64) -> io::Result<Box<[u8; SECTOR_BYTES]>> {
        let mut sector = Box::new([0; SECTOR_BYTES]);
        self.read_at(number * SECTOR, &mut *sector)?;
        Ok(sector)
    }
}

/// Bytes written to the disk below at a time.
const RUN_MAX: usize = 1 << 20;

/// Lays what of `data`, which begins at `from`, is within `target`, which begins at `at`.
fn lay(target: &mut [u8], at: u64, data: &[u8], from: u64) {
    let skip = |ahead: u64| usize::try_from(ahead).unwrap_or(usize::MAX);
    let target = target.get_mut(skip(from.saturating_sub(at))..).unwrap_or_default();
    let data = data.get(skip(at.saturating_sub(from))..).unwrap_or_default();
    for (to, byte) in target.iter_mut().zip(data) {
        *to = *byte;
    }
}
