#include "common/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/text.h"

#define FIRST_FD 3 /* of those that systemd passes: SD_LISTEN_FDS_START */
#define FDS_MOST 65536

struct inherited_socket {
	int fd; /* -1: taken */
	struct addr at;
	bool is_foreign;
	char *name; /* NULL: it has none */
};

struct inherited {
	struct inherited_socket *v;
	size_t n, cap;
};

struct inherited *
inherited_new(void)
{
	return xcalloc(1, sizeof(struct inherited));
}

void
inherited_free(struct inherited **ip)
{
	struct inherited *in = *ip;
	size_t i;

	*ip = NULL;
	if (in == NULL)
		return;
	for (i = 0; i < in->n; i++) {
		if (in->v[i].fd >= 0)
			close(in->v[i].fd);
		free(in->v[i].name);
	}
	free(in->v);
	free(in);
}

static int
option_of(int fd, int option)
{
	int value = 0;
	socklen_t n = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &n) < 0 ? -1 : value;
}

/* *at: where it listens.  It does not block and is closed on exec afterwards. */
static int
examine(int fd, struct addr *at, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	*at = (struct addr){.len = sizeof at->ss};
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at->ss, &at->len) < 0)
		return err_errno(e, "descriptor %d", fd);
	if (option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 1)
		return err_set(e, 0,
			       "descriptor %d: expected a stream socket that listens "
			       "(ListenStream=, Accept=no)",
			       fd);
	if (!addr_is_ip(at) && !addr_is_unix(at))
		return err_set(e, 0, "descriptor %d: expected a socket of TCP or a Unix socket",
			       fd);
	return 0;
}

int
inherited_add(struct inherited *in, int fd, bool is_foreign, const char *name, struct err *e)
{
	struct inherited_socket s = {.fd = fd, .is_foreign = is_foreign};

	if (examine(fd, &s.at, e) < 0) {
		close(fd);
		return -1;
	}
	s.name = text_copy(name);
	if (in->n == in->cap) {
		in->cap = MAX(in->cap * 2, (size_t)8);
		in->v = xrealloc(in->v, in->cap * sizeof *in->v);
	}
	in->v[in->n++] = s;
	return 0;
}

/* The name before the next colon; *names becomes what is behind it. */
static char *
next_name(const char **names)
{
	size_t n;
	char *name;

	if (*names == NULL || **names == '\0')
		return NULL;
	n = strcspn(*names, ":");
	name = xstrndup(*names, n);
	*names += n + ((*names)[n] == ':');
	return name;
}

static int
add_all(struct inherited *in, uint32_t n, const char *names, struct err *e)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < n; i++) {
		char *name = next_name(&names);

		/* Go on after a mistake: all of them are ours to close. */
		if (inherited_add(in, FIRST_FD + (int)i, true, name, rc < 0 ? NULL : e) < 0)
			rc = -1;
		free(name);
	}
	return rc < 0 ? err_prefix(e, "LISTEN_FDS") : 0;
}

int
inherited_add_environment(struct inherited *in, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint32_t pid_number = 0, n = 0;
	int rc = 0;

	/* Where another process is meant, it has passed on its own environment. */
	if (pid != NULL && fds != NULL && text_number(pid, strlen(pid), INT32_MAX, &pid_number) &&
	    (pid_t)pid_number == getpid()) {
		if (text_number(fds, strlen(fds), FDS_MOST, &n))
			rc = add_all(in, n, getenv("LISTEN_FDNAMES"), e);
		else
			rc = err_set(e, 0,
				     "LISTEN_FDS: expected a number of descriptors, got "
				     "\"%.100s\"",
				     fds);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return rc;
}

int
inherited_take(struct inherited *in, const struct addr *at, bool *is_foreign)
{
	size_t i;

	for (i = 0; in != NULL && i < in->n; i++) {
		struct inherited_socket *s = &in->v[i];
		int fd = s->fd;

		if (fd < 0 || !addr_equal(&s->at, at))
			continue;
		s->fd = -1;
		*is_foreign = s->is_foreign;
		return fd;
	}
	return -1;
}

bool
inherited_has_port(const struct inherited *in, const struct addr *at)
{
	size_t i;

	for (i = 0; in != NULL && i < in->n; i++)
		if (in->v[i].at.ss.ss_family == at->ss.ss_family &&
		    addr_port(&in->v[i].at) == addr_port(at))
			return true;
	return false;
}

void
inherited_warn_left(const struct inherited *in)
{
	char text[ADDR_TEXT];
	size_t i;

	for (i = 0; i < in->n; i++) {
		const struct inherited_socket *s = &in->v[i];

		if (s->fd >= 0)
			log_warn(NULL,
				 s->is_foreign
					 ? "no key of the conf file has the address of a socket "
					   "that systemd passes: it is not used"
					 : "no key of the conf file has the address of an open "
					   "socket any more: it is closed",
				 "address=%s name=%s", addr_format(&s->at, true, text),
				 s->name == NULL ? "" : s->name);
	}
}
