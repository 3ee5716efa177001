CREATE TABLE customers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE,
  phone TEXT NOT NULL,
  street TEXT NOT NULL,
  postcode TEXT NOT NULL,
  town TEXT NOT NULL,
  country TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  plus INTEGER NOT NULL CHECK (plus IN (0, 1)),
  trust_grade TEXT NOT NULL
);

CREATE TABLE codes (customer_id TEXT PRIMARY KEY REFERENCES customers (id), code TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0);

CREATE TABLE payments (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  kind TEXT NOT NULL CHECK (kind IN ('Visa', 'Mastercard')),
  number TEXT NOT NULL,
  label TEXT NOT NULL
);

CREATE TABLE products (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  price INTEGER NOT NULL CHECK (price > 0),
  purchase_price REAL NOT NULL CHECK (purchase_price < price),
  stock INTEGER NOT NULL CHECK (stock >= 0),
  weight_kg INTEGER NOT NULL CHECK (weight_kg > 0),
  hygiene INTEGER NOT NULL CHECK (hygiene IN (0, 1)),
  made_to_measure INTEGER NOT NULL CHECK (made_to_measure IN (0, 1)),
  adults_only INTEGER NOT NULL CHECK (adults_only IN (0, 1)),
  repairable INTEGER NOT NULL CHECK (repairable IN (0, 1))
);

CREATE TABLE orders (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  status TEXT NOT NULL CHECK (status IN ('placed', 'picking', 'dispatched', 'delivered', 'cancelled')),
  hold TEXT NOT NULL CHECK (hold IN ('none', 'review', 'cleared')),
  placed_at TEXT NOT NULL,
  promised_by TEXT NOT NULL,
  delivered_at TEXT,
  delivery TEXT NOT NULL CHECK (delivery IN ('standard', 'express')),
  delivery_fee INTEGER NOT NULL CHECK (delivery_fee >= 0),
  paid_with TEXT NOT NULL REFERENCES payments (id),
  ship_name TEXT NOT NULL,
  ship_street TEXT NOT NULL,
  ship_postcode TEXT NOT NULL,
  ship_town TEXT NOT NULL,
  ship_country TEXT NOT NULL,
  address_changes INTEGER NOT NULL DEFAULT 0 CHECK (address_changes >= 0),
  CHECK (promised_by > placed_at AND (delivered_at IS NULL OR delivered_at > placed_at)),
  CHECK ((delivered_at IS NOT NULL) = (status = 'delivered'))
);

CREATE TABLE items (
  id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL REFERENCES orders (id),
  product_id TEXT NOT NULL REFERENCES products (id),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  unit_price INTEGER NOT NULL CHECK (unit_price > 0),
  clearance INTEGER NOT NULL CHECK (clearance IN (0, 1)),
  serial_no TEXT NOT NULL
);

CREATE TABLE tracking (
  order_id TEXT PRIMARY KEY REFERENCES orders (id),
  last_event TEXT NOT NULL CHECK (last_event IN ('in transit', 'left at the door', 'handed over')),
  last_scan_at TEXT NOT NULL,
  signed_by TEXT NOT NULL DEFAULT '',
  CHECK ((signed_by <> '') = (last_event = 'handed over'))
);

CREATE TABLE photos (id TEXT PRIMARY KEY, item_id TEXT NOT NULL REFERENCES items (id), shows TEXT NOT NULL, received_at TEXT NOT NULL);

CREATE TABLE offers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  range TEXT NOT NULL CHECK (range IN ('kitchen', 'lighting', 'textiles', 'furniture')),
  percent INTEGER NOT NULL CHECK (percent BETWEEN 1 AND 90),
  starts_at TEXT NOT NULL,
  ends_at TEXT NOT NULL,
  CHECK (ends_at > starts_at)
);

CREATE TABLE vouchers (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  kind TEXT NOT NULL CHECK (kind IN ('goodwill', 'refund', 'gift')),
  amount REAL NOT NULL CHECK (amount > 0),
  issued_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  given_for TEXT REFERENCES orders (id),
  used_on TEXT REFERENCES orders (id)
);

CREATE TABLE returns (
  id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL REFERENCES orders (id),
  item_id TEXT NOT NULL REFERENCES items (id),
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  made_at TEXT NOT NULL
);

CREATE TABLE refunds (
  id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL REFERENCES orders (id),
  amount REAL NOT NULL CHECK (amount >= 0),
  paid_to TEXT NOT NULL,
  made_at TEXT NOT NULL
);

CREATE TABLE charges (
  id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL REFERENCES orders (id),
  amount REAL NOT NULL CHECK (amount >= 0),
  payment_id TEXT NOT NULL REFERENCES payments (id),
  made_at TEXT NOT NULL
);

CREATE TABLE replacements (id TEXT PRIMARY KEY, item_id TEXT NOT NULL REFERENCES items (id), sent_at TEXT NOT NULL);

CREATE TABLE resends (id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders (id), sent_at TEXT NOT NULL);

CREATE TABLE claims (
  id TEXT PRIMARY KEY,
  item_id TEXT NOT NULL REFERENCES items (id),
  remedy TEXT NOT NULL CHECK (remedy IN ('repair', 'exchange')),
  fault TEXT NOT NULL,
  made_at TEXT NOT NULL
);

CREATE TABLE notices (id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders (id), sent_at TEXT NOT NULL);

CREATE TABLE contacts (id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers (id), text TEXT NOT NULL, made_at TEXT NOT NULL);

CREATE TABLE handovers (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  desk TEXT NOT NULL CHECK (desk IN ('checks', 'quality', 'carriers', 'business')),
  summary TEXT NOT NULL,
  made_at TEXT NOT NULL
);
