CREATE TABLE airports (code TEXT PRIMARY KEY CHECK (length(code) = 3), city TEXT NOT NULL);

CREATE TABLE travellers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE,
  phone TEXT NOT NULL,
  passport_no TEXT NOT NULL,
  tier TEXT NOT NULL CHECK (tier IN ('none', 'silver', 'gold'))
);

CREATE TABLE codes (traveller_id TEXT PRIMARY KEY REFERENCES travellers (id), code TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0);

CREATE TABLE payments (
  id TEXT PRIMARY KEY,
  traveller_id TEXT NOT NULL REFERENCES travellers (id),
  kind TEXT NOT NULL CHECK (kind IN ('Visa', 'Mastercard', 'gift card')),
  digits TEXT NOT NULL,
  label TEXT NOT NULL
);

CREATE TABLE flights (
  id TEXT PRIMARY KEY,
  origin TEXT NOT NULL REFERENCES airports (code),
  destination TEXT NOT NULL REFERENCES airports (code),
  departs_at TEXT NOT NULL,
  arrives_at TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('scheduled', 'delayed', 'cancelled')),
  delay_min INTEGER NOT NULL CHECK (delay_min >= 0),
  seats_economy INTEGER NOT NULL CHECK (seats_economy >= 0),
  seats_business INTEGER NOT NULL CHECK (seats_business >= 0),
  price_economy INTEGER NOT NULL,
  price_business INTEGER NOT NULL CHECK (price_business > price_economy),
  ops_note TEXT NOT NULL,
  CHECK (origin <> destination AND arrives_at > departs_at)
);

CREATE TABLE bookings (
  id TEXT PRIMARY KEY,
  traveller_id TEXT NOT NULL REFERENCES travellers (id),
  flight_id TEXT NOT NULL REFERENCES flights (id),
  passenger TEXT NOT NULL,
  seats INTEGER NOT NULL CHECK (seats > 0),
  cabin TEXT NOT NULL CHECK (cabin IN ('economy', 'business')),
  fare TEXT NOT NULL CHECK (fare IN ('basic', 'standard', 'flex')),
  insured INTEGER NOT NULL CHECK (insured IN (0, 1)),
  price INTEGER NOT NULL,
  paid_with TEXT NOT NULL REFERENCES payments (id),
  status TEXT NOT NULL CHECK (status IN ('confirmed', 'cancelled', 'flown')),
  dispute TEXT NOT NULL CHECK (dispute IN ('none', 'open', 'settled')),
  times_changed INTEGER NOT NULL,
  booked_at TEXT NOT NULL
);

CREATE TABLE extras (
  id TEXT PRIMARY KEY,
  booking_id TEXT NOT NULL REFERENCES bookings (id),
  kind TEXT NOT NULL CHECK (kind IN ('bag', 'animal', 'wheelchair')),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  detail TEXT NOT NULL DEFAULT ''
);

CREATE TABLE charges (
  id TEXT PRIMARY KEY,
  booking_id TEXT NOT NULL REFERENCES bookings (id),
  amount REAL NOT NULL CHECK (amount >= 0),
  payment_id TEXT NOT NULL REFERENCES payments (id),
  made_at TEXT NOT NULL
);

CREATE TABLE refunds (
  id TEXT PRIMARY KEY,
  booking_id TEXT NOT NULL REFERENCES bookings (id),
  amount REAL NOT NULL CHECK (amount >= 0),
  payment_id TEXT NOT NULL REFERENCES payments (id),
  made_at TEXT NOT NULL
);

CREATE TABLE vouchers (
  id TEXT PRIMARY KEY,
  traveller_id TEXT NOT NULL REFERENCES travellers (id),
  booking_id TEXT NOT NULL REFERENCES bookings (id),
  amount REAL NOT NULL CHECK (amount > 0),
  issued_at TEXT NOT NULL
);

CREATE TABLE notices (id TEXT PRIMARY KEY, booking_id TEXT NOT NULL REFERENCES bookings (id), sent_at TEXT NOT NULL);

CREATE TABLE notes (id TEXT PRIMARY KEY, traveller_id TEXT NOT NULL REFERENCES travellers (id), text TEXT NOT NULL, written_at TEXT NOT NULL);

CREATE TABLE handovers (
  id TEXT PRIMARY KEY,
  traveller_id TEXT NOT NULL REFERENCES travellers (id),
  desk TEXT NOT NULL CHECK (desk IN ('payments', 'groups', 'family')),
  summary TEXT NOT NULL,
  made_at TEXT NOT NULL
);
