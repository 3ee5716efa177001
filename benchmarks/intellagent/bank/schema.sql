CREATE TABLE customers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  security_word TEXT NOT NULL,
  email TEXT NOT NULL,
  phone TEXT NOT NULL,
  address TEXT NOT NULL,
  address_since TEXT NOT NULL,
  minor INTEGER NOT NULL CHECK (minor IN (0, 1)),
  credit_score INTEGER NOT NULL CHECK (credit_score BETWEEN 300 AND 900),
  disputes_in_12_months INTEGER NOT NULL CHECK (disputes_in_12_months >= 0)
);

CREATE TABLE codes (customer_id TEXT PRIMARY KEY REFERENCES customers (id), code TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0);

CREATE TABLE countries (code TEXT PRIMARY KEY CHECK (length(code) = 2), name TEXT NOT NULL, zone TEXT NOT NULL CHECK (zone IN ('euro', 'abroad', 'stopped')));

CREATE TABLE rates (product TEXT PRIMARY KEY, percent REAL NOT NULL CHECK (percent > 0));

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  iban TEXT NOT NULL UNIQUE,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  holder2_id TEXT REFERENCES customers (id) CHECK (holder2_id <> customer_id),
  kind TEXT NOT NULL CHECK (kind IN ('current', 'savings')),
  package TEXT NOT NULL CHECK (package IN ('basic', 'plus', 'premium')),
  status TEXT NOT NULL CHECK (status IN ('active', 'frozen', 'released', 'closed')),
  balance REAL NOT NULL,
  monthly_income INTEGER NOT NULL CHECK (monthly_income >= 0),
  overdraft_limit INTEGER NOT NULL CHECK (overdraft_limit >= 0),
  overdraft_percent REAL NOT NULL CHECK (overdraft_percent > 0),
  daily_limit INTEGER NOT NULL CHECK (daily_limit >= 0),
  limit_raised_at TEXT NOT NULL,
  reference_iban TEXT,
  CHECK (reference_iban IS NULL OR kind = 'savings')
);

CREATE TABLE mandates (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  customer_id TEXT NOT NULL REFERENCES customers (id),
  level TEXT NOT NULL CHECK (level IN ('full', 'view')),
  UNIQUE (account_id, customer_id)
);

CREATE TABLE consents (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  customer_id TEXT NOT NULL REFERENCES customers (id),
  given_at TEXT NOT NULL
);

CREATE TABLE recipients (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  name TEXT NOT NULL,
  iban TEXT NOT NULL,
  country TEXT NOT NULL REFERENCES countries (code),
  added_at TEXT NOT NULL,
  times_paid INTEGER NOT NULL CHECK (times_paid >= 0)
);

CREATE TABLE payments (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  recipient_id TEXT REFERENCES recipients (id),
  payee TEXT NOT NULL,
  amount REAL NOT NULL CHECK (amount > 0),
  fee REAL NOT NULL CHECK (fee >= 0),
  made_at TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('sent', 'pending', 'held')),
  review_note TEXT,
  CHECK (review_note IS NULL OR status = 'held')
);

CREATE TABLE cards (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  number TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL CHECK (status IN ('active', 'blocked'))
);

CREATE TABLE card_orders (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  old_card_id TEXT NOT NULL REFERENCES cards (id),
  address TEXT NOT NULL,
  fee REAL NOT NULL CHECK (fee >= 0),
  made_at TEXT NOT NULL
);

CREATE TABLE card_payments (
  id TEXT PRIMARY KEY,
  card_id TEXT NOT NULL REFERENCES cards (id),
  merchant TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount > 0),
  made_at TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'booked'))
);

CREATE TABLE disputes (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  card_payment_id TEXT NOT NULL UNIQUE REFERENCES card_payments (id),
  reason TEXT NOT NULL CHECK (reason IN ('not delivered', 'not made by customer')),
  credit REAL NOT NULL CHECK (credit >= 0),
  opened_at TEXT NOT NULL
);

CREATE TABLE goodwill (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id),
  amount REAL NOT NULL CHECK (amount > 0),
  paid_at TEXT NOT NULL
);

CREATE TABLE complaints (id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers (id), subject TEXT NOT NULL, made_at TEXT NOT NULL);

CREATE TABLE notices (id TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts (id), sent_at TEXT NOT NULL);

CREATE TABLE notes (id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers (id), text TEXT NOT NULL, written_at TEXT NOT NULL);

CREATE TABLE handovers (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers (id),
  desk TEXT NOT NULL CHECK (desk IN ('legal', 'fraud', 'care', 'branch', 'disputes')),
  summary TEXT NOT NULL,
  made_at TEXT NOT NULL
);
