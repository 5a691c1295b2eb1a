/* Stands before the C library's file calls (LD_PRELOAD): lets a chosen one fail, and keeps a log of
 * what each did, for power cuts. Built and spoken to by frail.py. Unarmed it does nothing.
 *
 * A call counts if its file lies below the root and its path has one of the given kinds. All that
 * is counted or logged happens under one mutex, so the log has the true order.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_KINDS 32
#define MOST_SEEN 512
#define NO_KIND (-1)
#define REAL(type, name, ...) \
  static type (*real_##name)(__VA_ARGS__); \
  if (!real_##name) real_##name = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static struct { char name[32]; regex_t form; } kinds[MOST_KINDS];
static int kinds_count;
static struct { char call[16]; int kind; long times; } seen[MOST_SEEN];
static int seen_count;
static char at_call[16], at_kind[32];
static long at_ordinal, cut_after, logged, jump;
static int at_errno, at_ever, at_short, tripped, trace = -1, journal = -1;

/* -- what Python says ------------------------------------------------------------------------ */

void frail_kind(const char *name, const char *form) {
  if (kinds_count < MOST_KINDS && !regcomp(&kinds[kinds_count].form, form, REG_EXTENDED | REG_NOSUB))
    snprintf(kinds[kinds_count++].name, sizeof kinds[0].name, "%s", name);
}

void frail_below(const char *path) {
  root_length = (size_t)snprintf(root, sizeof root, "%s/", path);
}

void frail_fail(const char *call, const char *kind, long ordinal, int number, int ever, int is_short) {
  snprintf(at_call, sizeof at_call, "%s", call);
  snprintf(at_kind, sizeof at_kind, "%s", kind);
  at_ordinal = ordinal, at_errno = number, at_ever = ever, at_short = is_short;
}

void frail_jump(long seconds) { jump = seconds; }

void frail_trace(int handle) { trace = handle; }

void frail_journal(int handle, long cut) { journal = handle, cut_after = cut; }

/* -- counting -------------------------------------------------------------------------------- */

static void say(int handle, const void *data, size_t size) {
  for (const char *at = data; size;) {
    long done = syscall(SYS_write, handle, at, size);
    if (done <= 0) abort();
    at += done, size -= (size_t)done;
  }
}

static const char *path_of(int handle, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
  long length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
  path[length > 0 ? length : 0] = 0;
  return path;
}

static const char *absolute(const char *name, char *path) {
  char here[PATH_MAX];
  if (*name == '/' || !getcwd(here, sizeof here)) snprintf(path, PATH_MAX, "%s", name);
  else snprintf(path, PATH_MAX, "%.2000s/%.2000s", here, name);
  return path;
}

static int kind_of(const char *path) {
  if (!root_length || strncmp(path, root, root_length)) return NO_KIND;
  for (int k = 0; k < kinds_count; k++)
    if (!regexec(&kinds[k].form, path, 0, NULL, 0)) return k;
  return NO_KIND;
}

/* Count one call; give an errno to fail with, 0 for none, -1 for half of the bytes. */
static int verdict(const char *call, int kind) {
  if (kind == NO_KIND) return 0;
  int at = 0;
  while (at < seen_count && (seen[at].kind != kind || strcmp(seen[at].call, call))) at++;
  if (at == MOST_SEEN) abort();
  if (at == seen_count) {
    seen[at].kind = kind;
    snprintf(seen[at].call, sizeof seen[at].call, "%s", call);
    seen_count++;
  }
  long ordinal = ++seen[at].times;
  int same_call = at_ordinal && !strcmp(call, at_call);
  int hit = same_call && !strcmp(kinds[kind].name, at_kind) && ordinal == at_ordinal;
  hit = hit || (same_call && tripped && at_ever);
  if (trace >= 0) {
    char line[96];
    int length = snprintf(line, sizeof line, "%s %s %ld%s\n", call, kinds[kind].name, ordinal,
                          hit ? " failed" : "");
    say(trace, line, (size_t)length);
  }
  if (!hit) return 0;
  tripped = 1;
  return at_short ? -1 : at_errno;
}

/* -- the log --------------------------------------------------------------------------------- */

static int is_logged(const char *path) {
  if (journal < 0 || !root_length || strncmp(path, root, root_length - 1)) return 0;
  return !path[root_length - 1] || path[root_length - 1] == '/';
}

static void record(const char *op, unsigned long inode, long offset, const char *path,
                   const char *other, const void *data, size_t size) {
  char head[2 * PATH_MAX + 128];
  int length = snprintf(head, sizeof head, "%s\t%lu\t%ld\t%zu\t%s\t%s\n", op, inode, offset, size,
                        path, other);
  say(journal, head, (size_t)length);
  if (size) say(journal, data, size);
  if (++logged == cut_after) kill(getpid(), SIGKILL);
}

static unsigned long inode_of(int handle) {
  struct stat facts;
  return fstat(handle, &facts) ? 0 : facts.st_ino;
}

static unsigned long inode_at(const char *path) {
  struct stat facts;
  return lstat(path, &facts) ? 0 : facts.st_ino;
}

/* -- the calls ------------------------------------------------------------------------------- */

static ssize_t write_at(int handle, const void *data, size_t size, off64_t offset, int placed) {
  REAL(ssize_t, write, int, const void *, size_t);
  REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
  if (!root_length) return placed ? real_pwrite64(handle, data, size, offset) : real_write(handle, data, size);
  char path[PATH_MAX];
  path_of(handle, path);
  pthread_mutex_lock(&mutex);
  int number = verdict("write", kind_of(path));
  ssize_t done = -1;
  if (number > 0) errno = number;
  else {
    if (number < 0 && size > 1) size /= 2;
    done = placed ? real_pwrite64(handle, data, size, offset) : real_write(handle, data, size);
    if (done > 0 && is_logged(path)) {
      long where = placed ? (long)offset : (long)lseek64(handle, 0, SEEK_CUR) - done;
      record("write", inode_of(handle), where, path, "", data, (size_t)done);
    }
  }
  pthread_mutex_unlock(&mutex);
  return done;
}

ssize_t write(int handle, const void *data, size_t size) { return write_at(handle, data, size, 0, 0); }
ssize_t pwrite(int handle, const void *data, size_t size, off_t offset) { return write_at(handle, data, size, offset, 1); }
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t offset) { return write_at(handle, data, size, offset, 1); }

static int refused(const char *call, const char *path) {
  pthread_mutex_lock(&mutex);
  int number = verdict(call, kind_of(path));
  pthread_mutex_unlock(&mutex);
  return number;
}

ssize_t read(int handle, void *data, size_t size) {
  REAL(ssize_t, read, int, void *, size_t);
  char path[PATH_MAX];
  int number = root_length ? refused("read", path_of(handle, path)) : 0;
  if (number > 0) return errno = number, -1;
  return real_read(handle, data, number < 0 && size > 1 ? size / 2 : size);
}

ssize_t pread64(int handle, void *data, size_t size, off64_t offset) {
  REAL(ssize_t, pread64, int, void *, size_t, off64_t);
  char path[PATH_MAX];
  int number = root_length ? refused("read", path_of(handle, path)) : 0;
  if (number > 0) return errno = number, -1;
  return real_pread64(handle, data, number < 0 && size > 1 ? size / 2 : size, offset);
}

ssize_t pread(int handle, void *data, size_t size, off_t offset) { return pread64(handle, data, size, offset); }

static int sync_of(int handle, int whole) {
  REAL(int, fsync, int);
  REAL(int, fdatasync, int);
  if (!root_length) return whole ? real_fsync(handle) : real_fdatasync(handle);
  char path[PATH_MAX];
  path_of(handle, path);
  pthread_mutex_lock(&mutex);
  int number = verdict("fsync", kind_of(path)), done = -1;
  if (number > 0) errno = number;
  else {
    /* The log decides what a power cut leaves; the true disk need not be waited for. */
    done = journal >= 0 ? 0 : whole ? real_fsync(handle) : real_fdatasync(handle);
    if (!done && is_logged(path)) record("fsync", inode_of(handle), 0, path, "", NULL, 0);
  }
  pthread_mutex_unlock(&mutex);
  return done;
}

int fsync(int handle) { return sync_of(handle, 1); }
int fdatasync(int handle) { return sync_of(handle, 0); }

int open64(const char *name, int flags, ...) {
  REAL(int, open64, const char *, int, ...);
  mode_t mode = 0;
  if (flags & (O_CREAT | __O_TMPFILE)) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
  }
  if (!root_length) return real_open64(name, flags, mode);
  char path[PATH_MAX];
  absolute(name, path);
  pthread_mutex_lock(&mutex);
  int number = verdict(flags & O_CREAT ? "create" : "open", kind_of(path)), handle = -1;
  if (number > 0) errno = number;
  else {
    int was = inode_at(path) != 0;
    handle = real_open64(name, flags, mode);
    if (handle >= 0 && is_logged(path)) {
      if (!was) record("create", inode_of(handle), 0, path, "", NULL, 0);
      else if (flags & O_TRUNC) record("truncate", inode_of(handle), 0, path, "", NULL, 0);
    }
  }
  pthread_mutex_unlock(&mutex);
  return handle;
}

int open(const char *name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open64(name, flags, mode);
}

int ftruncate64(int handle, off64_t size) {
  REAL(int, ftruncate64, int, off64_t);
  if (!root_length) return real_ftruncate64(handle, size);
  char path[PATH_MAX];
  path_of(handle, path);
  pthread_mutex_lock(&mutex);
  int number = verdict("truncate", kind_of(path)), done = -1;
  if (number > 0) errno = number;
  else {
    done = real_ftruncate64(handle, size);
    if (!done && is_logged(path)) record("truncate", inode_of(handle), (long)size, path, "", NULL, 0);
  }
  pthread_mutex_unlock(&mutex);
  return done;
}

int ftruncate(int handle, off_t size) { return ftruncate64(handle, size); }

int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  if (!root_length) return real_rename(from, to);
  char path[PATH_MAX], other[PATH_MAX];
  absolute(from, path), absolute(to, other);
  pthread_mutex_lock(&mutex);
  int number = verdict("rename", kind_of(other)), done = -1;
  if (number > 0) errno = number;
  else {
    unsigned long inode = inode_at(path);
    done = real_rename(from, to);
    if (!done && is_logged(other)) record("rename", inode, 0, path, other, NULL, 0);
  }
  pthread_mutex_unlock(&mutex);
  return done;
}

static int remove_name(const char *name, int directory) {
  REAL(int, unlink, const char *);
  REAL(int, rmdir, const char *);
  if (!root_length) return directory ? real_rmdir(name) : real_unlink(name);
  char path[PATH_MAX];
  absolute(name, path);
  pthread_mutex_lock(&mutex);
  int number = verdict("unlink", kind_of(path)), done = -1;
  if (number > 0) errno = number;
  else {
    unsigned long inode = inode_at(path);
    done = directory ? real_rmdir(name) : real_unlink(name);
    if (!done && is_logged(path)) record("unlink", inode, 0, path, "", NULL, 0);
  }
  pthread_mutex_unlock(&mutex);
  return done;
}

int unlink(const char *name) { return remove_name(name, 0); }
int rmdir(const char *name) { return remove_name(name, 1); }

int mkdir(const char *name, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  if (!root_length) return real_mkdir(name, mode);
  char path[PATH_MAX];
  absolute(name, path);
  pthread_mutex_lock(&mutex);
  int number = verdict("mkdir", kind_of(path)), done = -1;
  if (number > 0) errno = number;
  else {
    done = real_mkdir(name, mode);
    if (!done && is_logged(path)) record("mkdir", inode_at(path), 0, path, "", NULL, 0);
  }
  pthread_mutex_unlock(&mutex);
  return done;
}

int flock(int handle, int operation) {
  REAL(int, flock, int, int);
  char path[PATH_MAX];
  int number = root_length ? refused("lock", path_of(handle, path)) : 0;
  return number > 0 ? (errno = number, -1) : real_flock(handle, operation);
}

/* The wall clock leaps forth and back from one look to the next; the monotonic one is true. */
int clock_gettime(clockid_t clock, struct timespec *now) {
  REAL(int, clock_gettime, clockid_t, struct timespec *);
  static _Atomic long looks;
  int done = real_clock_gettime(clock, now);
  if (jump && clock == CLOCK_REALTIME && !done)
    now->tv_sec = looks++ % 2 ? now->tv_sec + jump : now->tv_sec > jump ? now->tv_sec - jump : 0;
  return done;
}
