"""The option table: every flag of every command, declared once, as data.  One module a family."""
