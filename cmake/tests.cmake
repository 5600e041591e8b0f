# The tests of the C++ code, which stand beside it as *_test.cpp.
find_path(RECURRA_DOCTEST doctest/doctest.h) # Debian's doctest-dev
if(NOT RECURRA_DOCTEST)
  message(FATAL_ERROR "The C++ tests need doctest/doctest.h; Debian has it as doctest-dev")
endif()
# By itself, since beside it may lie the headers of another architecture's C library.
configure_file(${RECURRA_DOCTEST}/doctest/doctest.h include/doctest/doctest.h COPYONLY)
add_library(doctest INTERFACE)
target_include_directories(doctest SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR}/include)

add_library(tests_main OBJECT csrc/testing/main.cpp)
target_link_libraries(tests_main PRIVATE plain doctest)

# add_tests(name isa sources...): one program, which skips where the CPU lacks the ISA.
function(add_tests name isa)
  add_executable(${name} csrc/testing/skip.cpp ${ARGN})
  target_link_libraries(${name} PRIVATE plain doctest tests_main)
  target_compile_definitions(${name} PRIVATE RECURRA_TEST_ISA="${isa}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
endfunction()

file(GLOB_RECURSE kernel_tests CONFIGURE_DEPENDS csrc/kernels/*_test.cpp)
file(GLOB narrow_tests CONFIGURE_DEPENDS csrc/kernels/narrow/*_test.cpp)
foreach(isa ${isas})
  # skip.cpp decides whether the CPU may run the rest, so the ISA's flags are the other files' alone.
  if(isa STREQUAL avx512vnni)
    add_library(kernel_tests_${isa}_objects OBJECT ${narrow_tests})
  else()
    add_library(kernel_tests_${isa}_objects OBJECT ${kernel_tests})
  endif()
  target_link_libraries(kernel_tests_${isa}_objects PRIVATE isa_${isa} doctest)
  add_tests(kernel_tests_${isa} ${isa})
  target_link_libraries(kernel_tests_${isa} PRIVATE kernel_tests_${isa}_objects)
endforeach()

file(GLOB_RECURSE core_tests CONFIGURE_DEPENDS csrc/model/*_test.cpp csrc/system/*_test.cpp)
add_tests(core_tests any ${core_tests})
find_package(Threads REQUIRED) # they make threads of their own
target_link_libraries(core_tests PRIVATE recurra_core Threads::Threads)

# Prints hashes of what models and operations compute; .ci/bits.sh compares those of several ISAs.
add_executable(bits csrc/testing/bits.cpp)
target_link_libraries(bits PRIVATE recurra_core)

# Runs damaged descriptions of cells; .ci/cpp.sh does it under the address sanitizer.
add_executable(fuzz_cells csrc/testing/fuzz_cells.cpp)
target_link_libraries(fuzz_cells PRIVATE recurra_core)

list(REMOVE_ITEM isas avx512vnni)
foreach(isa ${isas})
  add_library(one_operation_${isa} OBJECT csrc/testing/one_operation.cpp)
  target_link_libraries(one_operation_${isa} PRIVATE isa_${isa})
  target_link_libraries(bits PRIVATE one_operation_${isa})
  string(TOUPPER "RECURRA_HAVE_${isa}" have)
  target_compile_definitions(bits PRIVATE ${have})
endforeach()
