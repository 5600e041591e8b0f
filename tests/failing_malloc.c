// Preloaded by test_memory.py and test_stream_memory.py: makes the n-th allocation of a thread fail, counted from when
// it is armed.
#include <errno.h>
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static __thread long left;  // allocations until the one that fails; 0: none does
static __thread int failed;

void failing_malloc_arm(long n) {
  left = n;
  failed = 0;
}

// Allocations that may still come before that one.
long failing_malloc_left(void) { return left; }

// Whether one has failed.
int failing_malloc_disarm(void) {
  left = 0;
  return failed;
}

static int fails(void) {
  if (left == 0 || --left > 0) return 0;
  failed = 1;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }
int posix_memalign(void **made, size_t alignment, size_t size) {
  *made = fails() ? NULL : __libc_memalign(alignment, size);
  return *made ? 0 : ENOMEM;
}
