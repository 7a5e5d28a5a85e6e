"""What the compat suites share: tools from package registries, brokers, stores, records, client programs."""
