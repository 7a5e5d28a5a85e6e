"""The suites: a module each, `run(report, options)`."""
