#include "autoscaler/ctl_server.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/daemon.h"
#include "common/file.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/link.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/msg.h"
#include "common/strbuf.h"
#include "common/text.h"

#define REQUESTS_MAX 32			      /* under way at a time */
#define CONNECTIONS_MAX 64		      /* those that are refused or done included */
#define REQUEST_BYTES_MAX ((size_t)512 << 10) /* of a line of the peer */
#define ASK_PATIENCE (5 * CLK_S)	      /* until the request has come */
#define LEAVE_PATIENCE (5 * CLK_S)	      /* after `done`, until the peer has closed */
#define READ_PATIENCE (600 * CLK_S)	      /* … if it still has to read: it may be a pager */
#define PROGRESS_EVERY CLK_S
#define TIMEOUT_DEFAULT (60 * CLK_S)
#define TIMEOUT_MAX_MS INT64_C(86400000)
#define LOGIN_UID_TEXT 32

enum request_state { REQUEST_NEW, REQUEST_GREETED, REQUEST_ASKED, REQUEST_DONE };

struct ctl_request {
	struct list_node node;
	struct ctl_server *server;
	struct link *link;
	enum request_state state;
	pid_t pid;	 /* of the peer, as the kernel says … */
	uid_t uid;	 /* … and its user */
	uid_t login_uid; /* as which its user has logged in; (uid_t)-1: it is not known */
	char *command, *name, *wanted_state, *text;
	struct ctl_asked asked;
	int64_t since_ns;
	struct loop_timer timer; /* to the end of its time */
	void *of_command;
	struct strbuf line; /* that is being put */
	bool is_held;
	struct strbuf held; /* the end, which ctl_release() sends; empty: none */
	struct jput put;
	char *progress; /* sent last, at progress_ns; NULL: none */
	int64_t progress_ns;
	/* Once it is done: what the peer has to read yet, and until when it may leave that as it
	 * is. */
	size_t left_n;
	int64_t left_ns;
};

struct ctl_server {
	struct loop *loop;
	const char *id;
	const struct ctl_ops *ops;
	void *arg;
	struct link_server *links;
	struct list requests;
	uint64_t n;
};

static const char *const status_names[] = {
#define X(id, name) [CTL_##id] = #name,
	CTL_STATUSES(X)
#undef X
};

/* --- answering --- */

void
ctl_set_state(struct ctl_request *r, void *state)
{
	r->of_command = state;
}

void *
ctl_state(const struct ctl_request *r)
{
	return r->of_command;
}

const struct ctl_asked *
ctl_asked(const struct ctl_request *r)
{
	return &r->asked;
}

const char *
ctl_option(const struct ctl_request *r, const char *key, size_t i)
{
	const struct str_list *l = &r->asked.options;
	size_t n = strlen(key), k;

	for (k = 0; k < l->n; k++)
		if (strncmp(l->v[k], key, n) == 0 && l->v[k][n] == '=' && i-- == 0)
			return l->v[k] + n + 1;
	return NULL;
}

struct audit_by
ctl_by(const struct ctl_request *r)
{
	return (struct audit_by){.kind = AUDIT_BY_COMMAND,
				 .name = r->asked.command,
				 .peer = {.pid = r->pid, .uid = r->uid, .login_uid = r->login_uid}};
}

int64_t
ctl_since_ns(const struct ctl_request *r)
{
	return r->since_ns;
}

struct jput *
ctl_line(struct ctl_request *r, const char *type)
{
	strbuf_clear(&r->line);
	jput_init(&r->put, &r->line);
	jput_object(&r->put, NULL);
	jput_string(&r->put, "type", type);
	return &r->put;
}

void
ctl_line_end(struct ctl_request *r)
{
	jput_object_end(&r->put);
	link_send(r->link, r->line.data, r->line.len);
}

void
ctl_send_line(struct ctl_request *r, const char *text, size_t n)
{
	link_send(r->link, text, n);
}

size_t
ctl_queued(const struct ctl_request *r)
{
	return link_queued(r->link);
}

void
ctl_progress(struct ctl_request *r, const char *text)
{
	int64_t now = clk_now();
	struct jput *j;

	if (r->state != REQUEST_ASKED ||
	    (text_equal(r->progress, text) && now - r->progress_ns < PROGRESS_EVERY))
		return;
	text_replace(&r->progress, text);
	r->progress_ns = now;
	j = ctl_line(r, "progress");
	jput_string(j, "text", text);
	jput_double(j, "elapsed_s", (double)((now - r->since_ns) / CLK_MS) / 1000);
	ctl_line_end(r);
}

/* Send the end of the request. */
static void
end(struct ctl_request *r, const struct strbuf *line)
{
	r->state = REQUEST_DONE;
	link_send(r->link, line->data, line->len);
	r->left_n = ctl_queued(r);
	r->left_ns = clk_now() + READ_PATIENCE;
	loop_timer_set(&r->timer, LEAVE_PATIENCE);
}

void
ctl_done(struct ctl_request *r, enum ctl_status status, const char *next, const char *fmt, ...)
{
	struct jput *j;
	va_list args;
	char text[1000];

	CHECK(r->state != REQUEST_DONE && r->held.len == 0);
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	j = ctl_line(r, "done");
	jput_string(j, "status", status_names[status]);
	jput_string(j, "message", text);
	jput_string_if(j, "next", next);
	jput_object_end(j);
	if (r->is_held)
		strbuf_add(&r->held, r->line.data, r->line.len);
	else
		end(r, &r->line);
}

void
ctl_hold(struct ctl_request *r)
{
	r->is_held = true;
}

void
ctl_release(struct ctl_request *r)
{
	r->is_held = false;
	if (r->held.len > 0)
		end(r, &r->held);
}

/* --- the request --- */

/* The peer has broken a rule of the protocol. */
static void
refuse(struct ctl_request *r, const char *why)
{
	struct ctl_server *s = r->server;

	log_warn_limited(NULL, "request at the control socket refused", "pid=%d uid=%d reason=%s",
			 (int)r->pid, (int)r->uid, why);
	if (r->state == REQUEST_ASKED)
		s->ops->on_gone(r, s->arg);
	r->is_held = false;
	strbuf_clear(&r->held);
	ctl_done(r, CTL_USAGE, NULL, "%s", why);
}

static void
take_hello(struct ctl_request *r, const char *line, size_t n)
{
	struct err e = {0};
	struct msg m;

	if (msg_decode(&m, line, n, &e) < 0)
		refuse(r, e.text);
	else if (m.type != MSG_HELLO || m.u.hello.role != ROLE_CONTROL)
		refuse(r, "expected a hello with the role control: this is the control socket");
	else if (m.u.hello.protocol != MSG_PROTOCOL)
		refuse(r, "the protocol version differs: use the activatorctl of this version");
	else
		r->state = REQUEST_GREETED;
	msg_fini(&m);
}

static int
read_options(struct ctl_request *r, const struct jget *root, struct err *e)
{
	struct jget array;
	const char *text;
	char **v;
	size_t n, i;
	int rc = jget_array(root, "options", JGET_MAY, &array, &n, e);

	v = rc < 0 ? NULL : xcalloc(n + 1, sizeof *v);
	for (i = 0; rc == 0 && i < n; i++) {
		rc = jget_element_string(&array, i, &text, e);
		if (rc == 0)
			v[i] = xstrdup(text);
	}
	if (rc == 0 && n > 0)
		str_list_set(&r->asked.options, v, n);
	for (i = 0; v != NULL && v[i] != NULL; i++)
		free(v[i]);
	free(v);
	return rc;
}

static int
read_request(struct ctl_request *r, const struct jget *root, struct err *e)
{
	int64_t timeout_ms = TIMEOUT_DEFAULT / CLK_MS;
	char *type = NULL;
	int rc = jget_string(root, "type", JGET_MUST, &type, e);

	if (rc == 0 && strcmp(type, "request") != 0)
		rc = err_set(e, 0, "expected a request");
	free(type);
	if (rc < 0 || jget_string(root, "command", JGET_MUST, &r->command, e) < 0 ||
	    jget_string(root, "name", JGET_MAY, &r->name, e) < 0 ||
	    jget_string(root, "state", JGET_MAY, &r->wanted_state, e) < 0 ||
	    jget_string(root, "text", JGET_MAY, &r->text, e) < 0 || read_options(r, root, e) < 0 ||
	    jget_bool(root, "wait", JGET_MAY, &r->asked.is_waiting, e) < 0 ||
	    jget_i64(root, "timeout_ms", JGET_MAY, 1, TIMEOUT_MAX_MS, &timeout_ms, e) < 0)
		return -1;
	r->asked.command = r->command;
	r->asked.name = r->name;
	r->asked.state = r->wanted_state;
	r->asked.text = r->text;
	r->asked.timeout_ns = timeout_ms * CLK_MS;
	return 0;
}

static void
take_request(struct ctl_request *r, const char *line, size_t n)
{
	struct ctl_server *s = r->server;
	struct err e = {0};
	struct jget root;
	struct json_t *json = jget_open(line, n, &root, &e);
	int rc = json == NULL ? -1 : read_request(r, &root, &e);

	if (json != NULL)
		jget_close(&json);
	if (rc < 0) {
		refuse(r, e.text);
		return;
	}
	r->state = REQUEST_ASKED;
	r->since_ns = clk_now();
	loop_timer_set(&r->timer, r->asked.timeout_ns);
	s->n++;
	log_debug(NULL, "request at the control socket", "command=%s name=%s pid=%d uid=%d",
		  r->command, r->name == NULL ? "" : r->name, (int)r->pid, (int)r->uid);
	s->ops->on_request(r, &r->asked, s->arg);
}

static void
on_line(struct link *l, char *line, size_t n, void *arg)
{
	struct ctl_request *r = arg;

	(void)l;
	if (r->state == REQUEST_DONE)
		return;
	if (n > REQUEST_BYTES_MAX)
		refuse(r, "the line is too long");
	else if (r->state == REQUEST_NEW)
		take_hello(r, line, n);
	else if (r->state == REQUEST_GREETED)
		take_request(r, line, n);
	else
		refuse(r, "a connection is one request");
}

/* --- connections --- */

static void
say_hello(struct ctl_request *r)
{
	char *id = xstrdup(r->server->id), *version = xstrdup(daemon_version);
	struct msg m = {.type = MSG_HELLO,
			.u.hello = {.protocol = MSG_PROTOCOL,
				    .role = ROLE_AUTOSCALER,
				    .id = id,
				    .version = version}};

	strbuf_clear(&r->line);
	msg_encode(&m, &r->line);
	link_send(r->link, r->line.data, r->line.len);
	free(id);
	free(version);
}

/* The kernel keeps it through sudo and su. */
static uid_t
login_uid_of(pid_t pid)
{
	char *path = xasprintf("/proc/%d/loginuid", (int)pid);
	char *text = file_read(path, LOGIN_UID_TEXT, NULL, NULL);
	uint32_t uid = UINT32_MAX;

	if (text == NULL || !text_number(text, strcspn(text, "\n"), UINT32_MAX, &uid))
		uid = UINT32_MAX;
	free(text);
	free(path);
	return (uid_t)uid;
}

static void
on_up(struct link *l, void *arg)
{
	struct ctl_request *r = arg;

	link_peer_process(l, &r->pid, &r->uid);
	r->login_uid = login_uid_of(r->pid);
	say_hello(r);
	loop_timer_set(&r->timer, ASK_PATIENCE);
	if (r->server->requests.n > REQUESTS_MAX)
		ctl_done(r, CTL_FAILED, "try again in a moment", "%d requests are under way",
			 REQUESTS_MAX);
}

static void
request_free(struct ctl_request *r)
{
	struct ctl_server *s = r->server;

	if (r->state == REQUEST_ASKED) {
		r->state = REQUEST_DONE;
		s->ops->on_gone(r, s->arg);
	}
	list_remove(&s->requests, &r->node);
	loop_timer_fini(&r->timer);
	strbuf_fini(&r->line);
	strbuf_fini(&r->held);
	free(r->command);
	free(r->name);
	free(r->wanted_state);
	free(r->text);
	str_list_fini(&r->asked.options);
	free(r->progress);
	free(r);
}

static void
on_down(struct link *l, const struct err *why, void *arg)
{
	(void)l;
	(void)why;
	request_free(arg);
}

static const struct link_ops link_ops = {on_up, on_line, on_down};

/* It is done.  Does its peer still read the answer? */
static bool
is_read_yet(struct ctl_request *r)
{
	size_t n = ctl_queued(r);
	int64_t now = clk_now();

	if (n == 0 && r->left_n == 0)
		return false;
	if (n < r->left_n)
		r->left_ns = now + READ_PATIENCE;
	r->left_n = n;
	return now < r->left_ns;
}

/* Its time is over: to ask, to be answered, or to leave. */
static void
on_time(void *arg)
{
	struct ctl_request *r = arg;
	struct ctl_server *s = r->server;

	if (r->state == REQUEST_ASKED && r->held.len > 0) {
		s->ops->on_gone(r, s->arg);
		ctl_release(r);
	} else if (r->state == REQUEST_ASKED) {
		s->ops->on_gone(r, s->arg);
		r->is_held = false;
		ctl_done(r, CTL_TIMEOUT,
			 "activatorctl describe shows how far it is; --timeout waits longer",
			 "not done after %lld s; it goes on%s%s",
			 (long long)(r->asked.timeout_ns / CLK_S), r->progress == NULL ? "" : ": ",
			 r->progress == NULL ? "" : r->progress);
	} else if (r->state == REQUEST_DONE && is_read_yet(r)) {
		loop_timer_set(&r->timer, LEAVE_PATIENCE);
	} else {
		link_cut(r->link, "time is over");
	}
}

static void
on_accept(struct link *l, void *arg)
{
	struct ctl_server *s = arg;
	struct ctl_request *r;

	if (s->requests.n >= CONNECTIONS_MAX) {
		log_warn_limited(NULL, "too many connections to the control socket", "max=%d",
				 CONNECTIONS_MAX);
		link_free(&l);
		return;
	}
	r = xcalloc(1, sizeof *r);
	*r = (struct ctl_request){.server = s, .link = l, .since_ns = clk_now()};
	loop_timer_init(&r->timer, s->loop, on_time, r);
	strbuf_init(&r->line, 0);
	strbuf_init(&r->held, 0);
	list_push(&s->requests, &r->node);
	link_set_arg(l, r);
}

/* --- life --- */

struct ctl_server *
ctl_server_open(struct loop *loop, const char *path, const char *id, const struct ctl_ops *ops,
		void *arg, struct err *e)
{
	struct ctl_server *s = xcalloc(1, sizeof *s);

	*s = (struct ctl_server){.loop = loop, .id = id, .ops = ops, .arg = arg};
	list_init(&s->requests);
	s->links = link_listen_private(loop, path, &link_ops, on_accept, s, e);
	if (s->links == NULL)
		ctl_server_close(&s);
	return s;
}

void
ctl_server_close(struct ctl_server **sp)
{
	struct ctl_server *s = *sp;
	struct list_node *node, *tmp;

	*sp = NULL;
	if (s == NULL)
		return;
	link_server_free(&s->links);
	LIST_FOREACH(&s->requests, node, tmp)
		request_free(container_of(node, struct ctl_request, node));
	free(s);
}

int
ctl_server_set_group(struct ctl_server *s, const char *name, struct err *e)
{
	const struct group *group;
	gid_t gid = (gid_t)-1;

	if (name != NULL && name[0] != '\0') {
		errno = 0;
		group = getgrnam(name);
		if (group == NULL)
			return err_set(e, errno, "control_group: there is no group \"%s\"", name);
		gid = group->gr_gid;
	}
	return link_server_allow_group(s->links, gid, e);
}

uint64_t
ctl_server_requests(const struct ctl_server *s)
{
	return s->n;
}
