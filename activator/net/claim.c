#include "activator/net/claim.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "activator/net/tcp.h"
#include "common/holder.h"
#include "common/unix_socket.h"

struct claimed {
	int fd;		  /* of a Unix socket, until claim_release(); else -1 */
	const char *path; /* of a Unix socket; else NULL */
	dev_t dev;	  /* of the file at path, to know it again */
	ino_t ino;
};

struct claim {
	size_t n;
	struct claimed v[];
};

static int
claim_tcp(const struct listen_spec *at, struct err *e)
{
	char holder[HOLDER_TEXT];
	int fd = tcp_bind(&at->addr, false);

	if (fd < 0 && errno == EADDRINUSE)
		return err_set(e, errno, "cannot listen on %s: held by %s", at->text,
			       holder_of(&at->addr, holder));
	if (fd < 0)
		return err_errno(e, "cannot listen on %s", at->text);
	close(fd);
	return 0;
}

static int
claim_unix(struct claimed *c, const char *path, mode_t mode, struct err *e)
{
	struct stat st;

	c->fd = unix_socket_listen(path, mode, e);
	if (c->fd < 0)
		return -1;
	if (lstat(path, &st) < 0)
		return err_errno(e, "cannot listen at %s", path);
	c->path = path;
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return 0;
}

static int
claim_one(struct claimed *c, const struct listen_spec *at, mode_t mode, struct err *e)
{
	c->fd = -1;
	if (addr_is_unix(&at->addr))
		return claim_unix(c, at->text + sizeof ADDR_UNIX - 1, mode, e);
	return claim_tcp(at, e);
}

struct claim *
claim_new(const struct listen_spec *listeners, size_t n, mode_t mode, struct err *e)
{
	struct claim *c = xcalloc(1, sizeof *c + n * sizeof c->v[0]);

	while (c->n < n) {
		size_t i = c->n++;

		if (claim_one(&c->v[i], &listeners[i], mode, e) < 0) {
			claim_free(&c);
			return NULL;
		}
	}
	return c;
}

int
claim_fd(const struct claim *c, size_t i)
{
	return c == NULL ? -1 : c->v[i].fd;
}

void
claim_release(struct claim *c)
{
	size_t i;

	for (i = 0; i < c->n; i++) {
		if (c->v[i].fd >= 0)
			close(c->v[i].fd);
		c->v[i].fd = -1;
	}
}

void
claim_free(struct claim **cp)
{
	struct claim *c = *cp;
	struct stat st;
	size_t i;

	*cp = NULL;
	if (c == NULL)
		return;
	claim_release(c);
	for (i = 0; i < c->n; i++)
		if (c->v[i].path != NULL && lstat(c->v[i].path, &st) == 0 &&
		    st.st_dev == c->v[i].dev && st.st_ino == c->v[i].ino)
			unlink(c->v[i].path);
	free(c);
}
