/* faults - a library to preload (LD_PRELOAD) into activator, autoscaler and keeper that makes the
 * world around them fail when the chaos suite says so: the disk is full, the wall clock steps, the
 * link between two of them breaks, brings what it should not, or is read late.
 *
 * CHAOS_CONTROL: the file of the struct control that the suite and the program share.  The keeper
 * uses CHAOS_CONTROL with ".keeper" behind it.  Other programs, as the instances that inherit the
 * variable, are left alone.
 *
 * CHAOS_NO_PEER_PIDFD: if it is set, the kernel gives no pidfd of a peer, as before Linux 6.5.
 *
 * Descriptor 2 is never full: the log has to tell of the failures. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX 4000
#ifndef SO_PEERPIDFD /* of Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

enum link_fault { LINK_NONE, LINK_CUT, LINK_HALF, LINK_GARBAGE };

/* The layout is that of test/chaos/members.py. */
struct control {
	_Atomic int64_t step_ns;  /* added to the wall clock */
	_Atomic uint32_t is_full; /* no byte can be written to a file */
	_Atomic uint32_t
		link_fault;	 /* enum link_fault, for the next send; back to LINK_NONE then */
	_Atomic uint32_t repeat; /* LINK_GARBAGE: so many times the text */
	_Atomic uint32_t text_n;
	_Atomic uint32_t stall_us; /* each read of a link waits so long before */
	_Atomic uint32_t met_full, met_link, met_stall; /* how often the program met such a fault */
	char text[TEXT_MAX];
};

static struct control *control;
static bool has_no_peer_pidfd;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* --- which program this is --- */

static bool
read_link(char *to, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", to, size - 1);

	to[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool
is_keeper(void)
{
	static char text[4096];
	int fd = REAL(open)("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 && memmem(text, (size_t)n, "--keeper", 9) != NULL;
}

__attribute__((constructor)) static void
begin(void)
{
	const char *file = getenv("CHAOS_CONTROL"), *name;
	char exe[4096], path[4096];
	size_t n;
	void *at;
	int fd;

	if (file == NULL || !read_link(exe, sizeof exe))
		return;
	name = strrchr(exe, '/') + 1;
	if (strncmp(name, "activator", 9) != 0 && strncmp(name, "autoscaler", 10) != 0)
		return;
	n = strlen(file);
	if (n + sizeof ".keeper" > sizeof path)
		return;
	memcpy(path, file, n + 1);
	if (is_keeper())
		memcpy(path + n, ".keeper", sizeof ".keeper");
	fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		control = at;
	has_no_peer_pidfd = getenv("CHAOS_NO_PEER_PIDFD") != NULL;
}

/* --- an older kernel --- */

int
getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
	static __typeof__(&getsockopt) real;

	if (has_no_peer_pidfd && level == SOL_SOCKET && name == SO_PEERPIDFD) {
		errno = ENOPROTOOPT;
		return -1;
	}
	if (real == NULL)
		real = REAL(getsockopt);
	return real(fd, level, name, value, n);
}

/* --- the wall clock --- */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	static __typeof__(&clock_gettime) real;
	int rc;

	if (real == NULL)
		real = REAL(clock_gettime);
	rc = real(id, ts);
	if (rc == 0 && control != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
		int64_t ns = ts->tv_sec * INT64_C(1000000000) + ts->tv_nsec + control->step_ns;

		ts->tv_sec = ns / 1000000000;
		ts->tv_nsec = ns % 1000000000;
	}
	return rc;
}

int
gettimeofday(struct timeval *tv, void *zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *to)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (to != NULL)
		*to = ts.tv_sec;
	return ts.tv_sec;
}

/* --- the disk --- */

static bool
is_file(int fd)
{
	struct stat st;

	return fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool
is_full(void)
{
	if (control == NULL || !control->is_full)
		return false;
	control->met_full++;
	errno = ENOSPC;
	return true;
}

/* The last bytes that the disk has room for are half of what is written. */
ssize_t
write(int fd, const void *data, size_t n)
{
	static __typeof__(&write) real;
	static _Atomic bool is_half;

	if (real == NULL)
		real = REAL(write);
	if (control == NULL || !control->is_full || !is_file(fd))
		return real(fd, data, n);
	is_half = !is_half;
	if (n > 1 && is_half)
		return real(fd, data, n / 2);
	(void)is_full();
	return -1;
}

ssize_t
pwrite(int fd, const void *data, size_t n, off_t at)
{
	static __typeof__(&pwrite) real;

	if (real == NULL)
		real = REAL(pwrite);
	return control != NULL && is_file(fd) && is_full() ? -1 : real(fd, data, n, at);
}

int
fdatasync(int fd)
{
	static __typeof__(&fdatasync) real;

	if (real == NULL)
		real = REAL(fdatasync);
	return control != NULL && is_file(fd) && is_full() ? -1 : real(fd);
}

int
fsync(int fd)
{
	static __typeof__(&fsync) real;

	if (real == NULL)
		real = REAL(fsync);
	return control != NULL && is_file(fd) && is_full() ? -1 : real(fd);
}

static bool
is_new(const char *path)
{
	return control != NULL && control->is_full && access(path, F_OK) < 0 && errno == ENOENT;
}

int
mkdir(const char *path, mode_t mode)
{
	static __typeof__(&mkdir) real;

	if (real == NULL)
		real = REAL(mkdir);
	return is_new(path) && is_full() ? -1 : real(path, mode);
}

int
open(const char *path, int flags, ...)
{
	static __typeof__(&open) real;
	mode_t mode = 0;
	va_list args;

	if (real == NULL)
		real = REAL(open);
	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if ((flags & O_CREAT) && is_new(path) && is_full())
		return -1;
	return real(path, flags, mode);
}

/* --- the links --- */

static bool
is_link(int fd)
{
	int domain = 0;
	socklen_t n = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX;
}

static ssize_t
put_garbage(int fd)
{
	static __typeof__(&send) real;
	uint32_t i, size = control->text_n < TEXT_MAX ? control->text_n : TEXT_MAX;

	if (real == NULL)
		real = REAL(send);
	for (i = 0; i < control->repeat; i++)
		if (real(fd, control->text, size, MSG_NOSIGNAL) != (ssize_t)size)
			break;
	return i;
}

/* The links send whole lines, but for one that the peer was too slow for. */
ssize_t
send(int fd, const void *data, size_t n, int flags)
{
	static __typeof__(&send) real;
	uint32_t fault;

	if (real == NULL)
		real = REAL(send);
	if (control == NULL || control->link_fault == LINK_NONE || !is_link(fd))
		return real(fd, data, n, flags);
	fault = atomic_exchange(&control->link_fault, LINK_NONE);
	if (fault == LINK_NONE)
		return real(fd, data, n, flags);
	control->met_link++;
	if (fault == LINK_GARBAGE) {
		put_garbage(fd);
		return real(fd, data, n, flags);
	}
	if (fault == LINK_HALF && n > 1)
		(void)!real(fd, data, n / 2, flags);
	shutdown(fd, SHUT_RDWR);
	errno = EPIPE;
	return -1;
}

ssize_t
recv(int fd, void *to, size_t n, int flags)
{
	static __typeof__(&recv) real;
	struct timespec ts;

	if (real == NULL)
		real = REAL(recv);
	if (control != NULL && control->stall_us > 0 && is_link(fd)) {
		control->met_stall++;
		ts.tv_sec = 0;
		ts.tv_nsec = (long)control->stall_us * 1000;
		nanosleep(&ts, NULL);
	}
	return real(fd, to, n, flags);
}
