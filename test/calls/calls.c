/* calls - a library to preload (LD_PRELOAD) that counts a program's calls of the C library in
 * a file that others can read meanwhile; for machines that do not permit tracing.  Calls of the
 * main thread are not counted: their number grows with the time that a test takes.
 *
 * CALLS_FILE: the file, of records of 32 bytes: a name of 24, and a count of 8 in host byte
 * order.  The table below has the names.  Calls within the C library are not counted.
 * CALLS_REFUSE: the name of a call by syscall(2) that fails as in a kernel without it
 * (io_setup, io_submit). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct record {
	char name[24];
	_Atomic uint64_t n;
};

#define NAMES(X)                                                                                   \
	X(accept4)                                                                                 \
	X(calloc)                                                                                  \
	X(close)                                                                                   \
	X(connect)                                                                                 \
	X(epoll_ctl)                                                                               \
	X(epoll_wait)                                                                              \
	X(free)                                                                                    \
	X(getsockopt)                                                                              \
	X(io_submit)                                                                               \
	X(malloc)                                                                                  \
	X(pthread_mutex_lock)                                                                      \
	X(read)                                                                                    \
	X(readv)                                                                                   \
	X(realloc)                                                                                 \
	X(recv)                                                                                    \
	X(recvmsg)                                                                                 \
	X(send)                                                                                    \
	X(sendmsg)                                                                                 \
	X(setsockopt)                                                                              \
	X(shutdown)                                                                                \
	X(socket)                                                                                  \
	X(write)                                                                                   \
	X(writev)
enum name {
#define X(name) N_##name,
	NAMES(X)
#undef X
		N_MAX
};

static const char *const names[N_MAX] = {
#define X(name) [N_##name] = #name,
	NAMES(X)
#undef X
};

static struct record before_open[N_MAX]; /* counts until the file is open */
static struct record *records = before_open;

static bool
is_main_thread(void)
{
	static _Thread_local int answer __attribute__((tls_model("initial-exec"))); /* 0: unknown */

	if (answer == 0)
		answer = gettid() == getpid() ? 1 : -1;
	return answer > 0;
}

static void
count(enum name name)
{
	if (is_main_thread())
		return;
	atomic_fetch_add_explicit(&records[name].n, 1, memory_order_relaxed);
}

__attribute__((constructor)) static void
open_file(void)
{
	const char *path = getenv("CALLS_FILE");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), i;
	struct record *mapped;

	if (fd < 0 || ftruncate(fd, sizeof before_open) < 0)
		return;
	mapped = mmap(NULL, sizeof before_open, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped == MAP_FAILED)
		return;
	for (i = 0; i < N_MAX; i++)
		strcpy(mapped[i].name, names[i]);
	records = mapped;
}

/* Call the function of that name in the next library. */
#define CALL(result, name, params, args)                                                           \
	result name params                                                                         \
	{                                                                                          \
		static _Atomic(void *) next;                                                       \
		void *fn = atomic_load_explicit(&next, memory_order_relaxed);                      \
		result(*call) params;                                                              \
                                                                                                   \
		if (fn == NULL) {                                                                  \
			fn = dlsym(RTLD_NEXT, #name);                                              \
			atomic_store_explicit(&next, fn, memory_order_relaxed);                    \
		}                                                                                  \
		count(N_##name);                                                                   \
		memcpy(&call, &fn, sizeof call);                                                   \
		return call args;                                                                  \
	}

CALL(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
CALL(int, close, (int fd), (fd))
CALL(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
CALL(int, epoll_ctl, (int fd, int op, int of, struct epoll_event *e), (fd, op, of, e))
CALL(int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms))
CALL(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *n), (fd, level, name, v, n))
CALL(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
CALL(ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
CALL(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n))
CALL(ssize_t, recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
CALL(ssize_t, send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
CALL(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t n),
     (fd, level, name, v, n))
CALL(int, shutdown, (int fd, int how), (fd, how))
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL(ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))
CALL(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))

static bool
is_refused(long n)
{
	const char *name = getenv("CALLS_REFUSE");

	return name != NULL && ((n == SYS_io_setup && strcmp(name, "io_setup") == 0) ||
				(n == SYS_io_submit && strcmp(name, "io_submit") == 0));
}

/* System calls without a function in the C library. */
long
syscall(long n, ...)
{
	static _Atomic(void *) next;
	void *fn = atomic_load_explicit(&next, memory_order_relaxed);
	long (*call)(long, ...), v[6];
	va_list ap;
	int i;

	if (fn == NULL) {
		fn = dlsym(RTLD_NEXT, "syscall");
		atomic_store_explicit(&next, fn, memory_order_relaxed);
	}
	va_start(ap, n);
	for (i = 0; i < 6; i++)
		v[i] = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_io_submit)
		count(N_io_submit);
	if (is_refused(n)) {
		errno = ENOSYS;
		return -1;
	}
	memcpy(&call, &fn, sizeof call);
	return call(n, v[0], v[1], v[2], v[3], v[4], v[5]);
}

/* dlsym() allocates, so these are called by their internal names. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

void *
malloc(size_t size)
{
	count(N_malloc);
	return __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	count(N_calloc);
	return __libc_calloc(n, size);
}

void *
realloc(void *ptr, size_t size)
{
	count(N_realloc);
	return __libc_realloc(ptr, size);
}

void
free(void *ptr)
{
	if (ptr != NULL)
		count(N_free);
	__libc_free(ptr);
}
