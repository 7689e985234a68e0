-- Ten seconds each, for a day; NULL where it could not be measured.
CREATE TABLE fine (
  at_s INTEGER PRIMARY KEY,
  cpu_percent REAL,
  iowait_percent REAL,
  steal_percent REAL,
  load_1m REAL,
  memory_used_percent REAL,
  swap_used_percent REAL,
  cpu_pressure_percent REAL,
  memory_pressure_percent REAL,
  io_pressure_percent REAL,
  disk_read_bytes_per_second REAL,
  disk_written_bytes_per_second REAL,
  disk_busy_percent REAL,
  network_received_bytes_per_second REAL,
  network_sent_bytes_per_second REAL,
  network_errors_per_second REAL,
  threads REAL,
  blocked_processes REAL,
  open_files REAL,
  fullest_disk_percent REAL,
  temperature_celsius REAL,
  fleet_cpu_percent REAL,
  fleet_memory_bytes REAL
) STRICT;

-- Five minutes each, for a month.
CREATE TABLE coarse (
  metric TEXT NOT NULL,
  at_s INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  mean REAL NOT NULL,
  least REAL NOT NULL,
  most REAL NOT NULL,
  p95 REAL NOT NULL,
  PRIMARY KEY (metric, at_s)
) STRICT, WITHOUT ROWID;

-- Starts, pauses, and what befell the processes of the fleet.
CREATE TABLE event (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_s INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  seconds REAL
) STRICT;

CREATE INDEX event_by_time ON event (at_s);

-- What was seen last: the boot, the start of each process of the fleet.
CREATE TABLE seen (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
