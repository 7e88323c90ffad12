#include "activator/bounds.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE (BOUNDS_PROCESSES * sizeof(struct bounds_part))
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) /* no process can cut it off under us */
#define RESERVED (-1)

static int
map(struct bounds *b, int fd, struct err *e)
{
	void *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return err_errno(e, "cannot map the memory of the bounds");
	b->parts = at;
	b->fd = fd;
	return 0;
}

int
bounds_open(struct bounds *b, struct err *e)
{
	int fd = memfd_create("activator-bounds", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_errno(e, "cannot make the memory of the bounds");
	if (ftruncate(fd, SIZE) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		err_errno(e, "cannot make the memory of the bounds");
		close(fd);
		return -1;
	}
	if (map(b, fd, e) < 0) {
		close(fd);
		return -1;
	}
	b->own = &b->parts[0];
	atomic_store(&b->own->pid, (int32_t)getpid());
	return 0;
}

/* An ended process may have had the pid of this one. */
static void
forget_replaced(struct bounds *b, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < BOUNDS_PROCESSES; i++)
		if (atomic_load(&b->parts[i].replaced_pid) == (int32_t)pid)
			atomic_store(&b->parts[i].replaced_pid, 0);
}

int
bounds_join(struct bounds *b, int fd, uint32_t part, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(e, "the memory of the bounds");
	if (st.st_size != SIZE || (fcntl(fd, F_GET_SEALS) & SEALS) != SEALS)
		return err_set(e, 0,
			       "the memory of the bounds: expected %zu sealed bytes, got %lld",
			       (size_t)SIZE, (long long)st.st_size);
	if (part >= BOUNDS_PROCESSES)
		return err_set(e, 0, "the memory of the bounds has no part %u", part);
	if (map(b, fd, e) < 0)
		return -1;
	forget_replaced(b, getpid());
	b->own = &b->parts[part];
	atomic_store(&b->own->pid, (int32_t)getpid());
	return 0;
}

void
bounds_close(struct bounds *b)
{
	if (b->parts == NULL)
		return;
	munmap(b->parts, SIZE);
	close(b->fd);
	b->parts = b->own = NULL;
}

bool
bounds_reserve(struct bounds *b, uint32_t *part)
{
	uint32_t i;

	for (i = 0; i < BOUNDS_PROCESSES; i++) {
		int32_t nobody = 0;

		if (atomic_compare_exchange_strong(&b->parts[i].pid, &nobody, RESERVED)) {
			*part = i;
			return true;
		}
	}
	return false;
}

/* One process clears, and only then is the part free. */
static void
clear(struct bounds_part *p)
{
	atomic_store(&p->connections, 0);
	atomic_store(&p->upstreams, 0);
	atomic_store(&p->parked, 0);
	atomic_store(&p->parked_bytes, 0);
	atomic_store(&p->stream_bytes, 0);
	atomic_store(&p->pid, 0);
}

void
bounds_unreserve(struct bounds *b, uint32_t part)
{
	clear(&b->parts[part]);
}

void
bounds_clear(struct bounds *b, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < BOUNDS_PROCESSES; i++) {
		int32_t owner = (int32_t)pid;

		if (&b->parts[i] != b->own &&
		    atomic_compare_exchange_strong(&b->parts[i].pid, &owner, INT32_MIN))
			clear(&b->parts[i]);
	}
}

void
bounds_give_way(struct bounds *b, pid_t successor)
{
	atomic_store(&b->own->successor_pid, (int32_t)successor);
	atomic_store(&b->own->replaced_pid, atomic_load(&b->own->pid));
}

pid_t
bounds_successor(const struct bounds *b, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < BOUNDS_PROCESSES; i++)
		if (atomic_load(&b->parts[i].replaced_pid) == (int32_t)pid)
			return atomic_load(&b->parts[i].successor_pid);
	return 0;
}

uint64_t
bounds_parked(const struct bounds *b)
{
	return atomic_load_explicit(&b->own->parked, memory_order_relaxed);
}

uint64_t
bounds_parked_bytes(const struct bounds *b)
{
	return atomic_load_explicit(&b->own->parked_bytes, memory_order_relaxed);
}

uint64_t
bounds_stream_bytes(const struct bounds *b)
{
	return atomic_load_explicit(&b->own->stream_bytes, memory_order_relaxed);
}

uint64_t
bounds_connections_elsewhere(const struct bounds *b)
{
	return BOUNDS_SUM(b, connections) -
	       atomic_load_explicit(&b->own->connections, memory_order_relaxed);
}
