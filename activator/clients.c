#include "activator/clients.h"

#include <string.h>

#include "common/addr.h"

void
clients_init(struct clients *c, size_t most)
{
	hmap_init(&c->connections);
	c->most = most;
}

void
clients_fini(struct clients *c)
{
	hmap_fini(&c->connections);
}

/* Only an IP address tells one client from another. */
static bool
is_counted(const struct clients *c, const char *address)
{
	return c->most != 0 && strcmp(address, ADDR_UNIX) != 0 &&
	       strcmp(address, ADDR_UNKNOWN) != 0;
}

static size_t
count(const struct clients *c, const char *address)
{
	return (size_t)(uintptr_t)hmap_find(&c->connections, address);
}

static void
set(struct clients *c, const char *address, size_t n)
{
	if (n == 0)
		hmap_remove(&c->connections, address);
	else
		hmap_put(&c->connections, address, (void *)(uintptr_t)n);
}

void
clients_restart(struct clients *c, size_t most)
{
	clients_fini(c);
	clients_init(c, most);
}

void
clients_add(struct clients *c, const char *address)
{
	if (is_counted(c, address))
		set(c, address, count(c, address) + 1);
}

bool
clients_enter(struct clients *c, const char *address)
{
	size_t n;

	if (!is_counted(c, address))
		return true;
	n = count(c, address);
	if (n >= c->most)
		return false;
	set(c, address, n + 1);
	return true;
}

void
clients_leave(struct clients *c, const char *address)
{
	size_t n;

	if (!is_counted(c, address))
		return;
	n = count(c, address);
	CHECK(n > 0);
	set(c, address, n - 1);
}
