#include "activator/handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/daemon.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/strbuf.h"

#define KEY_BYTES sizeof(struct tls_ticket_key)

static const char *const type_names[] = {
#define X(id, name) name,
	HANDOVER_TYPES(X)
#undef X
};

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(HANDOVER_FDS_MOST * sizeof(int))];
};

/* --- keys, as hexadecimal digits --- */

static void
put_key(struct jput *j, const struct tls_ticket_key *key)
{
	unsigned char bytes[KEY_BYTES];
	char text[2 * KEY_BYTES + 1];
	size_t i;

	memcpy(bytes, key, sizeof bytes);
	for (i = 0; i < sizeof bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	jput_string(j, NULL, text);
	explicit_bzero(bytes, sizeof bytes);
	explicit_bzero(text, sizeof text);
}

static int
digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int)(at - digits);
}

static int
parse_key(struct tls_ticket_key *key, const char *text)
{
	unsigned char bytes[KEY_BYTES];
	size_t i;

	if (strlen(text) != 2 * sizeof bytes)
		return -1;
	for (i = 0; i < sizeof bytes; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		bytes[i] = (unsigned char)(high << 4 | low);
	}
	memcpy(key, bytes, sizeof bytes);
	explicit_bzero(bytes, sizeof bytes);
	return 0;
}

/* --- writing --- */

static void
put_begin(struct jput *j, const struct handover_msg *m)
{
	size_t i;

	jput_u64(j, "sockets", m->sockets_n);
	jput_u64(j, "part", m->part);
	jput_array(j, "elders");
	for (i = 0; i < m->elders_n; i++) {
		jput_object(j, NULL);
		jput_i64(j, "pid", m->elders[i]);
		jput_object_end(j);
	}
	jput_array_end(j);
	if (!m->has_tickets)
		return;
	jput_i64(j, "rotated_ns", m->rotated_ns);
	jput_array(j, "tickets");
	for (i = 0; i < TLS_TICKET_KEYS; i++)
		put_key(j, &m->tickets.v[i]);
	jput_array_end(j);
}

static void
put_sockets(struct jput *j, const struct handover_msg *m)
{
	size_t i;

	jput_array(j, "sockets");
	for (i = 0; i < m->fds_n; i++) {
		jput_object(j, NULL);
		jput_bool(j, "foreign", m->is_foreign[i]);
		jput_object_end(j);
	}
	jput_array_end(j);
}

static void
encode(const struct handover_msg *m, struct strbuf *out)
{
	struct jput j;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_string(&j, "type", type_names[m->type]);
	if (m->type == HANDOVER_BEGIN || m->type == HANDOVER_READY || m->type == HANDOVER_FAILED) {
		jput_i64(&j, "protocol", HANDOVER_PROTOCOL);
		jput_i64(&j, "pid", getpid());
		jput_string(&j, "version", daemon_version);
	}
	if (m->type == HANDOVER_FAILED)
		jput_string(&j, "reason", m->reason);
	if (m->type == HANDOVER_BEGIN)
		put_begin(&j, m);
	if (m->type == HANDOVER_SOCKETS)
		put_sockets(&j, m);
	jput_object_end(&j);
}

static void
attach(struct msghdr *msg, union control *control, const struct handover_msg *m)
{
	struct cmsghdr *c;

	if (m->fds_n == 0)
		return;
	memset(control, 0, sizeof *control);
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(m->fds_n * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(m->fds_n * sizeof(int));
	memcpy(CMSG_DATA(c), m->fds, m->fds_n * sizeof(int));
}

int
handover_send(int to, const struct handover_msg *m, struct err *e)
{
	union control control;
	struct strbuf text;
	struct iovec part;
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	CHECK(m->fds_n <= HANDOVER_FDS_MOST);
	strbuf_init(&text, 0);
	encode(m, &text);
	part = (struct iovec){.iov_base = text.data, .iov_len = text.len};
	attach(&msg, &control, m);
	do
		sent = sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		err_errno(e, "cannot send %s", type_names[m->type]);
	explicit_bzero(text.data, text.len);
	strbuf_fini(&text);
	return sent < 0 ? -1 : 0;
}

/* --- reading --- */

static int
get_tickets(const struct jget *root, struct handover_msg *m, struct err *e)
{
	const char *text;
	struct jget list;
	size_t i, n;

	if (jget_array(root, "tickets", JGET_MAY, &list, &n, e) < 0)
		return -1;
	if (n == 0)
		return 0;
	if (n != TLS_TICKET_KEYS)
		return jget_fail(root, "tickets", e, "expected %d keys, got %zu", TLS_TICKET_KEYS,
				 n);
	for (i = 0; i < n; i++) {
		if (jget_element_string(&list, i, &text, e) < 0)
			return -1;
		if (parse_key(&m->tickets.v[i], text) < 0)
			return jget_fail(root, "tickets", e, "expected keys of %zu bytes",
					 KEY_BYTES);
	}
	m->has_tickets = true;
	return jget_i64(root, "rotated_ns", JGET_MUST, 0, INT64_MAX, &m->rotated_ns, e);
}

static int
get_pid(const struct jget *j, pid_t *out, struct err *e)
{
	int64_t pid = 0;

	if (jget_i64(j, "pid", JGET_MUST, 1, INT32_MAX, &pid, e) < 0)
		return -1;
	*out = (pid_t)pid;
	return 0;
}

static int
get_elders(const struct jget *root, struct handover_msg *m, struct err *e)
{
	struct jget list, one;
	size_t i, n;

	if (jget_array(root, "elders", JGET_MUST, &list, &n, e) < 0)
		return -1;
	if (n > BOUNDS_OLD_MOST)
		return jget_fail(root, "elders", e, "expected %d at most, got %zu", BOUNDS_OLD_MOST,
				 n);
	for (i = 0; i < n; i++)
		if (jget_element(&list, i, &one, e) < 0 || get_pid(&one, &m->elders[i], e) < 0)
			return -1;
	m->elders_n = n;
	return 0;
}

static int
get_begin(const struct jget *root, struct handover_msg *m, struct err *e)
{
	if (jget_u32(root, "sockets", JGET_MUST, &m->sockets_n, e) < 0 ||
	    jget_u32(root, "part", JGET_MUST, &m->part, e) < 0 || get_elders(root, m, e) < 0 ||
	    get_tickets(root, m, e) < 0)
		return -1;
	if (m->sockets_n > HANDOVER_SOCKETS_MOST)
		return err_set(e, 0, "expected %d sockets at most, got %u", HANDOVER_SOCKETS_MOST,
			       m->sockets_n);
	if (m->fds_n != m->elders_n + 2)
		return err_set(e, 0, "expected %zu descriptors, got %zu", m->elders_n + 2,
			       m->fds_n);
	return 0;
}

static int
get_sockets(const struct jget *root, struct handover_msg *m, struct err *e)
{
	struct jget list, one;
	size_t i, n;

	if (jget_array(root, "sockets", JGET_MUST, &list, &n, e) < 0)
		return -1;
	if (n != m->fds_n)
		return err_set(e, 0, "expected %zu descriptors, got %zu", n, m->fds_n);
	for (i = 0; i < n; i++)
		if (jget_element(&list, i, &one, e) < 0 ||
		    jget_bool(&one, "foreign", JGET_MUST, &m->is_foreign[i], e) < 0)
			return -1;
	return 0;
}

/* The protocol comes first: what follows is read only if it is ours. */
static int
get_sender(const struct jget *root, struct handover_msg *m, struct err *e)
{
	int64_t protocol = 0;

	if (jget_i64(root, "protocol", JGET_MUST, 0, INT32_MAX, &protocol, e) < 0 ||
	    jget_string(root, "version", JGET_MAY, &m->version, e) < 0)
		return -1;
	m->protocol = (int)protocol;
	if (m->protocol != HANDOVER_PROTOCOL)
		return err_set(
			e, EPROTO, "version %s speaks protocol %d of the hand-over, expected %d",
			m->version == NULL ? "?" : m->version, m->protocol, HANDOVER_PROTOCOL);
	return get_pid(root, &m->pid, e);
}

static int
get_members(const struct jget *root, struct handover_msg *m, struct err *e)
{
	switch (m->type) {
	case HANDOVER_BEGIN:
		return get_sender(root, m, e) < 0 ? -1 : get_begin(root, m, e);
	case HANDOVER_READY:
		return get_sender(root, m, e);
	case HANDOVER_FAILED:
		/* Of any protocol: the reason is for people. */
		return jget_string(root, "reason", JGET_MUST, &m->reason, e);
	case HANDOVER_SOCKETS:
		return get_sockets(root, m, e);
	default:
		return 0;
	}
}

static int
decode(struct handover_msg *m, const char *text, size_t n, struct err *e)
{
	struct jget root;
	struct json_t *json = jget_open(text, n, &root, e);
	int type = 0, rc;

	if (json == NULL)
		return -1;
	rc = jget_word(&root, "type", JGET_MUST, type_names, HANDOVER_TYPES_N, &type, e);
	m->type = (enum handover_type)type;
	if (rc == 0)
		rc = get_members(&root, m, e);
	jget_close(&json);
	if (rc == 0 && m->fds_n > 0 && m->type != HANDOVER_BEGIN && m->type != HANDOVER_SOCKETS)
		return err_set(e, 0, "expected no descriptors with %s, got %zu", type_names[type],
			       m->fds_n);
	return rc;
}

/* Take the descriptors; all of them are ours from here on. */
static void
detach(struct msghdr *msg, struct handover_msg *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		CHECK(m->fds_n + n <= HANDOVER_FDS_MOST); /* there is no room for more */
		memcpy(m->fds + m->fds_n, CMSG_DATA(c), n * sizeof(int));
		m->fds_n += n;
	}
}

int
handover_receive(int from, struct handover_msg *m, struct err *e)
{
	char text[HANDOVER_BYTES_MOST];
	union control control;
	struct iovec part = {.iov_base = text, .iov_len = sizeof text};
	struct msghdr msg = {.msg_iov = &part,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = CMSG_SPACE(HANDOVER_FDS_MOST * sizeof(int))};
	ssize_t got;
	int rc;

	memset(m, 0, sizeof *m);
	do
		got = recvmsg(from, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno != ECONNRESET)
		return err_errno(e, "cannot receive from the other activator");
	if (got <= 0)
		return err_set(e, EPIPE, "the other activator has closed its end");
	detach(&msg, m);
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		return err_set(e, EMSGSIZE,
			       "a message is too long, or has more descriptors than can be taken");
	rc = decode(m, text, (size_t)got, e);
	explicit_bzero(text, (size_t)got);
	return rc;
}

void
handover_msg_fini(struct handover_msg *m)
{
	size_t i;

	for (i = 0; i < m->fds_n; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->fds_n = 0;
	free(m->version);
	free(m->reason);
	m->version = m->reason = NULL;
	explicit_bzero(&m->tickets, sizeof m->tickets);
}
