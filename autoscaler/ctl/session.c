#include "autoscaler/ctl/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "autoscaler/ctl/out.h"
#include "common/clk.h"
#include "common/conf.h"
#include "common/control_socket.h"
#include "common/daemon.h"
#include "common/jput.h"
#include "common/msg.h"
#include "common/settings_keys.h"
#include "common/strbuf.h"
#include "common/text.h"
#include "common/unix_socket.h"

#define CONF_DEFAULT SYSCONFDIR "/activator/activator.conf"
#define SOCKET_DEFAULT "/run/activator/autoscaler.sock"
#define CONNECT_TRIES 50 /* while the backlog of the socket is full */
#define CONNECT_PAUSE (20 * CLK_MS)
#define LATE (10 * CLK_S) /* beyond the timeout, which is the autoscaler's to keep */
#define READ_BYTES ((size_t)64 << 10)

static volatile sig_atomic_t is_interrupted;

/* --- interrupts --- */

static void
on_interrupt(int signo)
{
	(void)signo;
	is_interrupted = 1;
}

void
session_watch_interrupt(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	CHECK(sigaction(SIGINT, &action, NULL) == 0);
}

bool
session_is_interrupted(void)
{
	return is_interrupted != 0;
}

void
session_pause(int64_t ns)
{
	int64_t end = clk_now() + ns, left;

	while (!session_is_interrupted() && (left = end - clk_now()) > 0)
		(void)poll(NULL, 0, (int)(left / CLK_MS) + 1);
}

/* --- where the socket is --- */

/* The path that a conf file gives, which may have mistakes elsewhere. */
static char *
path_in(const struct conf_section *root)
{
	const struct conf_value *control = conf_find(root, "control_socket");
	const struct conf_value *socket = conf_find(root, "socket");

	return control_socket_path(control == NULL || control->n == 0 ? NULL : control->texts[0],
				   socket == NULL || socket->n == 0 ? SOCKET_DEFAULT
								    : socket->texts[0]);
}

/* NULL with err: a file was named that cannot be read. */
static char *
find_path(const struct ctl_options *o, struct err *e)
{
	struct conf_errors errors = {.file = o->conf == NULL ? CONF_DEFAULT : o->conf};
	struct settings_errors lines = {NULL, 0};
	struct conf_section *root;
	bool is_whole;
	char *path;

	if (o->socket != NULL)
		return xstrdup(o->socket);
	root = conf_read(&errors, &is_whole);
	conf_errors_move(&errors, &lines);
	path = root == NULL && o->conf != NULL ? NULL : path_in(root);
	if (path == NULL)
		err_set(e, 0, "%s", lines.n == 0 ? "cannot read the conf file" : lines.lines[0]);
	settings_errors_free(&lines);
	conf_free(&root);
	return path;
}

/* --- the end --- */

static void
end_with(struct session_end *end, enum ctl_exit status, const char *next, const char *message)
{
	*end = (struct session_end){
		.status = status, .message = xstrdup(message), .next = text_copy(next)};
}

void
session_end_fini(struct session_end *end)
{
	free(end->message);
	free(end->next);
}

static void
end_unreachable(struct session_end *end, const char *path, const struct err *e)
{
	char *text = xasprintf("cannot reach the autoscaler at %s: %s", path, strerror(e->code));

	if (e->code == EACCES || e->code == EPERM)
		end_with(end, CTL_EXIT_UNREACHABLE,
			 "run it as root, or as a member of the conf file's control_group", text);
	else if (e->code == ENOENT || e->code == ECONNREFUSED)
		end_with(end, CTL_EXIT_UNREACHABLE,
			 "is it running, with this conf file? -c FILE or --socket PATH says where",
			 text);
	else
		end_with(end, CTL_EXIT_UNREACHABLE, NULL, text);
	free(text);
}

static void
end_interrupted(struct session_end *end, const struct session_request *r)
{
	bool is_rollout = strcmp(r->command, "rollout") == 0;
	char *next;

	if (!r->is_waiting) {
		end_with(end, CTL_EXIT_INTERRUPTED, NULL, "interrupted");
		return;
	}
	next = xasprintf("activatorctl %s%s%s shows how far it is",
			 is_rollout ? "rollout status" : "describe", r->name == NULL ? "" : " ",
			 r->name == NULL ? "" : r->name);
	end_with(end, CTL_EXIT_INTERRUPTED, next, "interrupted: it goes on without this command");
	free(next);
}

/* --- the connection --- */

struct session {
	int fd;
	struct strbuf in;
	size_t done; /* bytes of `in` that were handed over */
	int64_t deadline_ns;
};

static int
connect_to(const char *path, struct err *e)
{
	int fd, i;

	for (i = 0; i < CONNECT_TRIES; i++) {
		fd = unix_socket_connect(path, e);
		if (fd >= 0 || e->code != EAGAIN || session_is_interrupted())
			return fd;
		session_pause(CONNECT_PAUSE);
	}
	return -1;
}

/* Wait until the socket can be read or written.  -1: time is over, or interrupted (EINTR). */
static int
wait_for(const struct session *s, short what)
{
	struct pollfd p = {.fd = s->fd, .events = what};
	int64_t left;
	int n;

	do {
		if (session_is_interrupted()) {
			errno = EINTR;
			return -1;
		}
		left = s->deadline_ns - clk_now();
		n = left <= 0 ? 0 : poll(&p, 1, (int)MIN(left / CLK_MS + 1, 1000));
	} while ((n < 0 && errno == EINTR) || (n == 0 && left > 0));
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0 ? 0 : -1;
}

static int
send_all(const struct session *s, const char *data, size_t n)
{
	ssize_t put;

	while (n > 0) {
		put = send(s->fd, data, n, MSG_NOSIGNAL);
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (put < 0 && wait_for(s, POLLOUT) < 0)
			return -1;
		if (put > 0) {
			data += put;
			n -= (size_t)put;
		}
	}
	return 0;
}

/* The next line, borrowed until the next call, NUL in place of its newline; NULL: errno says why,
 * 0: the autoscaler has closed the connection. */
static char *
next_line(struct session *s, size_t *n)
{
	char *line, *end;
	ssize_t got;

	for (;;) {
		line = s->in.data == NULL ? NULL : s->in.data + s->done;
		end = line == NULL ? NULL : memchr(line, '\n', s->in.len - s->done);
		if (end != NULL) {
			*end = '\0';
			*n = (size_t)(end - line);
			s->done += *n + 1;
			return line;
		}
		strbuf_consume(&s->in, s->done);
		s->done = 0;
		got = recv(s->fd, strbuf_reserve(&s->in, READ_BYTES), READ_BYTES, 0);
		if (got > 0) {
			s->in.len += (size_t)got;
		} else if (got == 0) {
			errno = 0;
			return NULL;
		} else if ((errno != EAGAIN && errno != EINTR) || wait_for(s, POLLIN) < 0) {
			return NULL;
		}
	}
}

/* --- the request --- */

static void
put_hello(struct strbuf *out)
{
	char id[] = "activatorctl", *version = xstrdup(daemon_version);
	const struct msg m = {.type = MSG_HELLO,
			      .u.hello = {.protocol = MSG_PROTOCOL,
					  .role = ROLE_CONTROL,
					  .id = id,
					  .version = version}};

	msg_encode(&m, out);
	strbuf_adds(out, "\n");
	free(version);
}

static void
put_request(const struct session_request *r, struct strbuf *out)
{
	struct jput j;
	size_t i;

	jput_init(&j, out);
	jput_object(&j, NULL);
	jput_string(&j, "type", "request");
	jput_string(&j, "command", r->command);
	jput_string_if(&j, "name", r->name);
	jput_string_if(&j, "state", r->state);
	jput_string_if(&j, "text", r->text);
	if (r->options_n > 0) {
		jput_array(&j, "options");
		for (i = 0; i < r->options_n; i++)
			jput_string(&j, NULL, r->options[i]);
		jput_array_end(&j);
	}
	jput_bool(&j, "wait", r->is_waiting);
	jput_i64(&j, "timeout_ms", MAX(r->timeout_ns / CLK_MS, 1));
	jput_object_end(&j);
	strbuf_adds(out, "\n");
}

static enum ctl_exit
exit_of(const char *status)
{
	static const struct {
		const char *name;
		enum ctl_exit status;
	} all[] = {{"ok", CTL_EXIT_OK},
		   {"usage", CTL_EXIT_USAGE},
		   {"not_found", CTL_EXIT_NOT_FOUND},
		   {"timeout", CTL_EXIT_TIMEOUT}};
	size_t i;

	for (i = 0; status != NULL && i < ARRAY_LEN(all); i++)
		if (strcmp(all[i].name, status) == 0)
			return all[i].status;
	return CTL_EXIT_FAILED;
}

static void
take_done(const struct jget *root, struct session_end *end)
{
	char *status = session_text(root, "status"), *message = session_text(root, "message");
	char *next = session_text(root, "next");

	end_with(end, exit_of(status), next, message == NULL ? "" : message);
	free(status);
	free(message);
	free(next);
}

static void
take_progress(const struct jget *root)
{
	char *text = session_text(root, "text");

	if (text != NULL)
		out_progress(text, session_number(root, "elapsed_s", 0));
	free(text);
}

/* True: it was the last line. */
static bool
take_line(const char *text, size_t n, session_line_fn *fn, void *arg, struct session_end *end)
{
	struct err e;
	struct jget root;
	struct json_t *json = jget_open(text, n, &root, &e);
	struct session_line line = {.root = &root, .text = text, .n = n};
	char *type;
	bool is_done;

	if (json == NULL) {
		end_with(end, CTL_EXIT_UNREACHABLE, NULL,
			 "what listens at the socket is not an autoscaler");
		return true;
	}
	type = session_text(&root, "type");
	line.type = type == NULL ? "" : type;
	is_done = strcmp(line.type, "done") == 0;
	if (is_done)
		take_done(&root, end);
	else if (strcmp(line.type, "progress") == 0)
		take_progress(&root);
	else if (strcmp(line.type, "hello") != 0)
		fn(&line, arg);
	free(type);
	jget_close(&json);
	return is_done;
}

static void
end_broken(struct session_end *end, const struct session_request *r)
{
	if (errno == EINTR)
		end_interrupted(end, r);
	else if (errno == ETIMEDOUT)
		end_with(end, CTL_EXIT_UNREACHABLE, NULL, "the autoscaler does not answer");
	else
		end_with(end, CTL_EXIT_UNREACHABLE,
			 "its log says why; it serves root, its own user and control_group",
			 "the autoscaler has closed the connection");
}

static void
ask(struct session *s, const struct session_request *r, session_line_fn *fn, void *arg,
    struct session_end *end)
{
	struct strbuf out;
	char *line;
	size_t n;
	int rc;

	strbuf_init(&out, 0);
	put_hello(&out);
	put_request(r, &out);
	rc = send_all(s, out.data, out.len);
	strbuf_fini(&out);
	/* A server that refuses closes after a last line, which says why. */
	if (rc < 0 && errno != EPIPE && errno != ECONNRESET) {
		end_broken(end, r);
		return;
	}
	do {
		line = next_line(s, &n);
		if (line == NULL) {
			end_broken(end, r);
			return;
		}
	} while (!take_line(line, n, fn, arg, end));
}

void
session_ask(const struct ctl_options *o, const struct session_request *r, session_line_fn *fn,
	    void *arg, struct session_end *end)
{
	struct err e = {0};
	struct session s = {.deadline_ns = clk_now() + r->timeout_ns + LATE};
	char *path = find_path(o, &e);

	if (path == NULL) {
		end_with(end, CTL_EXIT_USAGE, NULL, e.text);
		return;
	}
	s.fd = connect_to(path, &e);
	if (s.fd < 0) {
		end_unreachable(end, path, &e);
	} else {
		strbuf_init(&s.in, 0);
		ask(&s, r, fn, arg, end);
		strbuf_fini(&s.in);
		close(s.fd);
	}
	out_progress_end();
	free(path);
}

/* --- members --- */

char *
session_text(const struct jget *at, const char *key)
{
	char *text = NULL;
	struct err e;

	return jget_string(at, key, JGET_MAY, &text, &e) < 0 ? NULL : text;
}

double
session_number(const struct jget *at, const char *key, double otherwise)
{
	double value = otherwise;
	struct err e;

	return jget_double(at, key, JGET_MAY, -1e18, 1e18, &value, &e) < 0 ? otherwise : value;
}

bool
session_bool(const struct jget *at, const char *key)
{
	bool value = false;
	struct err e;

	return jget_bool(at, key, JGET_MAY, &value, &e) == 0 && value;
}

char *
session_list(const struct jget *at, const char *key, const char *between)
{
	struct jget array;
	struct strbuf out;
	struct err e;
	const char *text;
	size_t n = 0, i;

	strbuf_init(&out, 0);
	if (jget_array(at, key, JGET_MAY, &array, &n, &e) < 0)
		n = 0;
	for (i = 0; i < n; i++)
		if (jget_element_string(&array, i, &text, &e) == 0)
			strbuf_addf(&out, "%s%s", i == 0 ? "" : between, text);
	return strbuf_take(&out);
}
