// The tests' main, which is all of doctest that isn't a declaration: compiled once, for all programs.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
