"""The commands: one module each, with build_parser() and main(argv=None) -> exit code."""
