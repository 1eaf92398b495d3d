"""The one database: tables, migrations, and an adapter per port. The only place that imports SQLAlchemy."""
