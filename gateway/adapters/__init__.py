"""One file per outside thing, each on one library; `db` holds the tables and an adapter per port."""
