#include "activator/net/listen_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activator/net/tcp.h"
#include "common/holder.h"
#include "common/inherited.h"
#include "common/log.h"
#include "common/ref.h"
#include "common/unix_socket.h"

struct listen_socket {
	_Atomic uint32_t refs;
	int fd;
};

/* One address, and its sockets; the sets that have it share it. */
struct place {
	unsigned sets_n; /* that have it */
	struct addr addr;
	struct listen_socket **sockets; /* one for each worker; of a Unix socket: one */
	size_t n;
	bool is_listening;
	bool is_foreign;  /* systemd has made it, and keeps it */
	bool is_borrowed; /* an older activator may still go on with it: its file stays as it is */
	char *path;	  /* of a Unix socket of ours; else NULL */
	dev_t dev;	  /* of the file at path, to know it again */
	ino_t ino;
};

struct listen_set {
	struct listen_conf conf; /* without v and inherited */
	size_t n;
	struct {
		struct listen_spec spec;
		struct place *place;
	} v[];
};

/* --- sockets --- */

static struct listen_socket *
socket_new(int fd)
{
	struct listen_socket *s = xcalloc(1, sizeof *s);

	ref_init(&s->refs);
	s->fd = fd;
	return s;
}

struct listen_socket *
listen_socket_ref(struct listen_socket *s)
{
	ref_add(&s->refs);
	return s;
}

void
listen_socket_unref(struct listen_socket **sp)
{
	struct listen_socket *s = *sp;

	*sp = NULL;
	if (s == NULL || !ref_drop(&s->refs))
		return;
	close(s->fd);
	free(s);
}

int
listen_socket_fd(const struct listen_socket *s)
{
	return s->fd;
}

/* --- places --- */

static void
close_sockets(struct place *p)
{
	while (p->n > 0)
		listen_socket_unref(&p->sockets[--p->n]);
}

static void
remove_path(const struct place *p)
{
	struct stat st;

	if (p->path != NULL && !p->is_borrowed && lstat(p->path, &st) == 0 && st.st_dev == p->dev &&
	    st.st_ino == p->ino)
		unlink(p->path);
}

static void
place_unref(struct place **pp)
{
	struct place *p = *pp;

	*pp = NULL;
	if (p == NULL || --p->sets_n > 0)
		return;
	close_sockets(p);
	remove_path(p);
	free(p->sockets);
	free(p->path);
	free(p);
}

static struct place *
place_new(const struct addr *addr)
{
	struct place *p = xcalloc(1, sizeof *p);

	p->sets_n = 1;
	p->addr = *addr;
	return p;
}

static void
add_socket(struct place *p, int fd)
{
	p->sockets = xrealloc(p->sockets, (p->n + 1) * sizeof(struct listen_socket *));
	p->sockets[p->n++] = socket_new(fd);
}

/* The file is ours to remove, if it is still the same one. */
static int
own_file(struct place *p, const struct listen_spec *at, struct err *e)
{
	const char *path = at->text + sizeof ADDR_UNIX - 1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_errno(e, "cannot listen at %s", path);
	p->path = xstrdup(path);
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	return 0;
}

static int
open_unix(struct place *p, const struct listen_spec *at, mode_t mode, struct err *e)
{
	int fd = unix_socket_listen(at->text + sizeof ADDR_UNIX - 1, mode, e);

	if (fd < 0)
		return -1;
	add_socket(p, fd);
	p->is_listening = true;
	return own_file(p, at, e);
}

/* One socket for each worker, those that it has already included. */
static int
open_tcp(struct place *p, const struct listen_spec *at, const struct listen_conf *conf,
	 struct err *e)
{
	bool is_open = p->n > 0;

	while (p->n < conf->workers_n) {
		int fd = tcp_bind(&at->addr, true);

		if (fd < 0 && is_open && errno == EADDRINUSE)
			break; /* its sockets are without SO_REUSEPORT: the workers share them */
		if (fd < 0)
			return err_errno(e, "cannot listen on %s", at->text);
		tcp_keep_alive(fd, conf->keepalive_ns); /* accepted sockets inherit it */
		add_socket(p, fd);
	}
	return 0;
}

/* --- sockets that are open already --- */

/* NULL: the address has none. */
static struct place *
take_open(const struct listen_spec *at, struct inherited *inherited)
{
	struct place *p = NULL;
	bool is_foreign;
	int fd;

	while ((fd = inherited_take(inherited, &at->addr, &is_foreign)) >= 0) {
		if (p == NULL)
			p = place_new(&at->addr);
		add_socket(p, fd);
		p->is_foreign |= is_foreign;
		p->is_listening = true;
		if (!addr_is_unix(&at->addr))
			tcp_no_delay(fd); /* an older activator has set it already */
	}
	return p;
}

/* What else such an address needs. */
static int
complete(struct place *p, const struct listen_spec *at, const struct listen_conf *conf,
	 struct err *e)
{
	if (p->is_foreign)
		return 0;
	p->is_borrowed = true;
	if (!addr_is_unix(&at->addr)) {
		p->is_listening = p->n >= conf->workers_n;
		return open_tcp(p, at, conf, e);
	}
	return own_file(p, at, e);
}

/* --- making a set --- */

static struct place *
find_place(const struct listen_set *set, const struct addr *addr)
{
	size_t i;

	for (i = 0; set != NULL && i < set->n; i++)
		if (addr_equal(&set->v[i].place->addr, addr))
			return set->v[i].place;
	return NULL;
}

/* Has the set a TCP address with the same port?  One of the two may be a wildcard then, so that
 * our own sockets keep the other from being bound without SO_REUSEPORT. */
static bool
has_port(const struct listen_set *set, const struct addr *addr)
{
	size_t i;

	for (i = 0; set != NULL && i < set->n; i++) {
		const struct addr *other = &set->v[i].spec.addr;

		if (other->ss.ss_family == addr->ss.ss_family &&
		    addr_port(other) == addr_port(addr))
			return true;
	}
	return false;
}

/* Is another process bound to the address? */
static int
check_free(const struct listen_spec *at, const struct listen_set *before,
	   const struct inherited *inherited, struct err *e)
{
	char holder[HOLDER_TEXT];
	int fd;

	if (addr_is_unix(&at->addr) || has_port(before, &at->addr) ||
	    inherited_has_port(inherited, &at->addr))
		return 0;
	fd = tcp_bind(&at->addr, false);
	if (fd < 0 && errno == EADDRINUSE)
		return err_set(e, EADDRINUSE, "cannot listen on %s: held by %s", at->text,
			       holder_of(&at->addr, holder));
	if (fd < 0)
		return err_errno(e, "cannot listen on %s", at->text);
	close(fd);
	return 0;
}

static int
open_new(struct listen_set *set, size_t i, struct err *e)
{
	const struct listen_spec *at = &set->v[i].spec;
	bool is_unix = addr_is_unix(&at->addr);
	struct place *p = place_new(&at->addr);

	set->v[i].place = p;
	return is_unix ? open_unix(p, at, set->conf.mode, e) : open_tcp(p, at, &set->conf, e);
}

static int
take_all(struct listen_set *set, const struct listen_conf *conf, struct err *e)
{
	size_t i;

	for (i = 0; i < set->n; i++) {
		if (set->v[i].place != NULL)
			continue;
		set->v[i].place = take_open(&set->v[i].spec, conf->inherited);
		if (set->v[i].place != NULL &&
		    complete(set->v[i].place, &set->v[i].spec, conf, e) < 0)
			return -1;
	}
	return 0;
}

static int
open_all(struct listen_set *set, const struct listen_set *before, struct inherited *inherited,
	 struct err *e)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (set->v[i].place == NULL &&
		    check_free(&set->v[i].spec, before, inherited, e) < 0)
			return -1;
	for (i = 0; i < set->n; i++)
		if (set->v[i].place == NULL && open_new(set, i, e) < 0)
			return -1;
	return 0;
}

struct listen_set *
listen_set_new(const struct listen_conf *conf, const struct listen_set *before, struct err *e)
{
	struct listen_set *set = xcalloc(1, sizeof *set + conf->n * sizeof set->v[0]);
	size_t i;

	set->conf = *conf;
	set->conf.v = NULL;
	set->conf.inherited = NULL;
	set->n = conf->n;
	for (i = 0; i < conf->n; i++) {
		set->v[i].spec = conf->v[i];
		set->v[i].place = find_place(before, &conf->v[i].addr);
		if (set->v[i].place != NULL)
			set->v[i].place->sets_n++;
	}
	if (take_all(set, conf, e) < 0 || open_all(set, before, conf->inherited, e) < 0)
		listen_set_free(&set);
	return set;
}

int
listen_set_start(struct listen_set *set, struct err *e)
{
	size_t i, k;

	for (i = 0; i < set->n; i++) {
		struct place *p = set->v[i].place;

		for (k = 0; !p->is_listening && k < p->n; k++)
			if (listen(p->sockets[k]->fd, SOMAXCONN) < 0)
				return err_errno(e, "cannot listen on %s", set->v[i].spec.text);
		p->is_listening = true;
	}
	return 0;
}

void
listen_set_settle(struct listen_set *set)
{
	size_t i, k;

	for (i = 0; i < set->n; i++) {
		struct place *p = set->v[i].place;

		p->is_borrowed = false;
		if (p->path != NULL && chmod(p->path, set->conf.mode) < 0)
			log_error(NULL, "cannot set the mode of a Unix socket", "path=%s err=%s",
				  p->path, strerror(errno));
		for (k = 0; !addr_is_unix(&p->addr) && k < p->n; k++)
			tcp_change_keep_alive(p->sockets[k]->fd, set->conf.keepalive_ns);
	}
}

/* --- using it --- */

/* Every socket has a worker, and every worker a socket, whatever the numbers of the two. */
static bool
is_of_worker(const struct place *p, size_t socket, unsigned worker, unsigned workers_n)
{
	return p->n >= workers_n ? socket % workers_n == worker : worker % p->n == socket;
}

size_t
listen_set_of_worker(const struct listen_set *set, unsigned worker, struct listen_use **out)
{
	size_t i, k, n = 0, most = 0;

	for (i = 0; i < set->n; i++)
		most += set->v[i].place->n;
	*out = xcalloc(MAX(most, (size_t)1), sizeof **out);
	for (i = 0; i < set->n; i++) {
		const struct place *p = set->v[i].place;

		for (k = 0; k < p->n; k++)
			if (is_of_worker(p, k, worker, set->conf.workers_n))
				(*out)[n++] = (struct listen_use){
					.socket = listen_socket_ref(p->sockets[k]),
					.spec = set->v[i].spec,
				};
	}
	return n;
}

bool
listen_set_each(const struct listen_set *set, size_t *place, size_t *at, int *fd, bool *is_foreign)
{
	for (; *place < set->n; ++*place, *at = 0) {
		const struct place *p = set->v[*place].place;

		if (*at < p->n) {
			*fd = p->sockets[(*at)++]->fd;
			*is_foreign = p->is_foreign;
			return true;
		}
	}
	return false;
}

void
listen_set_pass_on(struct listen_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++) {
		free(set->v[i].place->path);
		set->v[i].place->path = NULL;
	}
}

void
listen_set_release(struct listen_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		close_sockets(set->v[i].place);
}

void
listen_set_free(struct listen_set **sp)
{
	struct listen_set *set = *sp;
	size_t i;

	*sp = NULL;
	if (set == NULL)
		return;
	for (i = 0; i < set->n; i++)
		place_unref(&set->v[i].place);
	free(set);
}
