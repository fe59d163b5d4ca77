//! Black-box tests that drive the built programs, the conformance runner, and the test that holds the dependency table.
