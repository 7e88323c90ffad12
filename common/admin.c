#include "common/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/addr.h"
#include "common/admin_stream.h"
#include "common/clk.h"
#include "common/conf_names.h"
#include "common/holder.h"
#include "common/inherited.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metric.h"
#include "common/strbuf.h"

#define HEAD_MAX 8192 /* bytes of a request's head */
#define BODY_MAX 1024 /* bytes of a request's body; it is ignored */
#define TIMEOUT_S 10  /* how long a connection may be silent */
#define BACKLOG 64
#define ACCEPT_PAUSE (50 * CLK_MS) /* when no descriptor is left */
#define ANSWER_MAX ((size_t)64 << 20)
#define NO_STORE "no-store"

struct page {
	struct list_node node;
	char *path;
	const char *const *params; /* NULL: any */
	void (*fn)(struct admin_request *, void *arg);
	void *arg;
};

/* An address, and the socket that listens there. */
struct door {
	struct list_node node;
	char *text;
	struct addr at;
	int fd;
	struct evhttp_bound_socket *bound; /* NULL: nothing is accepted yet */
	bool is_kept;			   /* by the change that is being made */
};

struct admin {
	struct list_node node; /* in opened */
	struct evhttp *http;
	struct list doors;
	struct inherited *from;	  /* during admin_open(): sockets that are open already */
	struct loop_timer resume; /* accept again, after accept(2) has failed */
	struct list pages;	  /* in the order of admin_add_page(); "/" lists them */
	const struct admin_ops *ops;
	const char *home; /* where "/" sends browsers to; NULL: nowhere */
	void *arg;
};

/* All open endpoints: evhttp passes to on_accept_error() its own argument, not ours. */
static struct list opened = {.head = {&opened.head, &opened.head}};

/* A request, and what answering it needs besides. */
struct admin_call {
	struct admin_request req;
	struct evkeyvalq query;
	struct evhttp_request *http;
	bool is_deferred; /* the answer comes later, or is a stream */
};

struct later {
	struct admin_later later;
	struct evhttp_request *http; /* NULL: its connection is closed */
};

static const char *
call_param(struct admin_request *req, const char *name)
{
	return evhttp_find_header(&container_of(req, struct admin_call, req)->query, name);
}

static const char *
call_field(struct admin_request *req, const char *name)
{
	const struct admin_call *c = container_of(req, struct admin_call, req);

	return evhttp_find_header(evhttp_request_get_input_headers(c->http), name);
}

static void
add_field(struct evhttp_request *http, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(http), name, value);
}

static void
call_add_field(struct admin_request *req, const char *name, const char *value)
{
	add_field(container_of(req, struct admin_call, req)->http, name, value);
}

static void
page_healthz(struct admin_request *req, void *arg)
{
	(void)arg;
	strbuf_adds(req->body, "ok\n");
}

static void
page_readyz(struct admin_request *req, void *arg)
{
	const struct admin *a = arg;
	const char *why = a->ops->not_ready(a->arg);

	if (why != NULL)
		req->status = 503;
	strbuf_addf(req->body, "%s\n", why == NULL ? "ok" : why);
}

/* The quality value (RFC 9110 12.4.2) that Accept gives a media type by its name; 0: none. */
static double
quality(const char *accept, const char *type)
{
	const char *at = strcasestr(accept, type), *end, *q;

	if (at == NULL)
		return 0;
	end = at + strcspn(at, ",");
	q = strcasestr(at, ";q=");
	if (q == NULL)
		q = strcasestr(at, "; q=");
	return q == NULL || q >= end ? 1 : strtod(strchr(q, '=') + 1, NULL);
}

/* Prometheus names both forms, with the one that it would rather have first. */
static bool
prefers_openmetrics(const char *accept)
{
	double q = quality(accept, "application/openmetrics-text");

	return q > 0 && q >= quality(accept, "text/plain");
}

static void
page_metrics(struct admin_request *req, void *arg)
{
	const struct admin *a = arg;
	const char *accept = req->field(req, "Accept");
	bool is_open = accept != NULL && prefers_openmetrics(accept);

	req->content_type = is_open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				    : "text/plain; version=0.0.4; charset=utf-8";
	metric_set_form(is_open ? METRIC_OPENMETRICS : METRIC_PROMETHEUS);
	a->ops->metrics(req->body, a->arg);
	metric_end(req->body);
	metric_set_form(METRIC_PROMETHEUS);
}

static void
page_index(struct admin_request *req, void *arg)
{
	const struct admin *a = arg;
	const char *accept = req->field(req, "Accept");
	struct list_node *node, *tmp;

	if (a->home != NULL) {
		req->add_field(req, "Vary", "Accept");
		if (accept != NULL && strcasestr(accept, "text/html") != NULL) {
			req->status = 302;
			/* relative: a proxy may have put something before the path */
			req->add_field(req, "Location", a->home + 1);
		}
	}
	LIST_FOREACH(&a->pages, node, tmp)
		strbuf_addf(req->body, "%s\n", container_of(node, struct page, node)->path);
}

static struct page *
find_page(const struct admin *a, const char *path)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->pages, node, tmp) {
		struct page *p = container_of(node, struct page, node);

		if (strcmp(p->path, path) == 0)
			return p;
	}
	return NULL;
}

/* Without a reason phrase of ours: evhttp has one for each status in use. */
static void
reply(struct evhttp_request *http, int status, const char *content_type, const char *cache_control,
      const struct strbuf *body)
{
	struct evbuffer *out = evbuffer_new();
	char length[32];

	CHECK(out != NULL);
	snprintf(length, sizeof length, "%zu", body->len);
	if (status != HTTP_NOTMODIFIED) {
		add_field(http, "Content-Length", length);
		add_field(http, "Content-Type", content_type);
	}
	add_field(http, "Cache-Control", cache_control);
	add_field(http, "X-Content-Type-Options", "nosniff");
	if (evhttp_request_get_command(http) != EVHTTP_REQ_HEAD) /* evhttp would send the body */
		evbuffer_add(out, strbuf_str(body), body->len);
	evhttp_send_reply(http, status, NULL, out);
	evbuffer_free(out);
}

static void
reply_text(struct evhttp_request *http, int status, const char *text)
{
	struct strbuf body;

	strbuf_init(&body, 0);
	strbuf_adds(&body, text);
	reply(http, status, "text/plain; charset=utf-8", NO_STORE, &body);
	strbuf_fini(&body);
}

static void
on_closed(struct evhttp_connection *c, void *arg)
{
	struct later *l = arg;

	(void)c;
	l->http = NULL; /* evhttp frees it */
}

static void
answer_later(struct admin_later *later, int status, const char *content_type,
	     const struct strbuf *body)
{
	struct later *l = container_of(later, struct later, later);

	if (l->http != NULL) {
		evhttp_connection_set_closecb(evhttp_request_get_connection(l->http), NULL, NULL);
		reply(l->http, status, content_type, NO_STORE, body);
	}
	free(l);
}

/* evhttp does not read from the connection until the answer is sent. */
static struct admin_later *
call_defer(struct admin_request *req)
{
	struct admin_call *c = container_of(req, struct admin_call, req);
	struct later *l = xcalloc(1, sizeof *l);

	CHECK(!c->is_deferred);
	c->is_deferred = true;
	l->later.answer = answer_later;
	l->http = c->http;
	evhttp_connection_set_closecb(evhttp_request_get_connection(c->http), on_closed, l);
	return &l->later;
}

static struct admin_stream *
call_stream(struct admin_request *req, const char *content_type, const struct admin_stream_ops *ops,
	    void *arg)
{
	struct admin_call *c = container_of(req, struct admin_call, req);

	CHECK(!c->is_deferred && !req->is_head);
	c->is_deferred = true;
	add_field(c->http, "Content-Type", content_type);
	add_field(c->http, "Cache-Control", NO_STORE);
	add_field(c->http, "X-Content-Type-Options", "nosniff");
	return admin_stream_open(c->http, ops, arg);
}

/* Is the page to be told of this parameter? */
static bool
has_param(const struct page *p, const char *name, size_t *n)
{
	bool is_found = false;

	for (*n = 0; p->params[*n] != NULL; ++*n)
		is_found |= strcmp(p->params[*n], name) == 0;
	return is_found;
}

static void
refuse_param(const struct page *p, struct evhttp_request *http, const char *name, size_t n)
{
	const char *nearest = conf_word_nearest(name, p->params, n);
	char quoted[CONF_QUOTE_MAX];
	struct strbuf body;
	size_t i;

	strbuf_init(&body, 0);
	strbuf_addf(&body, "unknown parameter %s", conf_quote(name, quoted));
	if (nearest != NULL)
		strbuf_addf(&body, "; did you mean %s?\n", nearest);
	else
		strbuf_adds(&body, "; expected one of:");
	for (i = 0; nearest == NULL && i < n; i++)
		strbuf_addf(&body, " %s%s", p->params[i], i + 1 < n ? "," : "\n");
	reply(http, 400, "text/plain; charset=utf-8", NO_STORE, &body);
	strbuf_fini(&body);
}

/* False: the answer was sent. */
static bool
check_params(const struct page *p, struct evhttp_request *http, const struct evkeyvalq *query)
{
	const struct evkeyval *v;
	size_t n;

	if (p->params == NULL)
		return true;
	for (v = query->tqh_first; v != NULL; v = v->next.tqe_next) {
		if (has_param(p, v->key, &n))
			continue;
		refuse_param(p, http, v->key, n);
		return false;
	}
	return true;
}

static void
serve(const struct page *p, struct evhttp_request *http, const struct evhttp_uri *uri)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(http), "Accept");
	const char *query = evhttp_uri_get_query(uri);
	struct strbuf body;
	struct admin_call c = {
		.req = {.path = p->path,
			.param = call_param,
			.field = call_field,
			.add_field = call_add_field,
			.defer = call_defer,
			.stream = call_stream,
			.is_head = evhttp_request_get_command(http) == EVHTTP_REQ_HEAD,
			.is_json_wanted = accept != NULL &&
					  strcasestr(accept, "application/json") != NULL,
			.body = &body,
			.content_type = "text/plain; charset=utf-8",
			.cache_control = NO_STORE,
			.status = 200},
		.http = http};

	if (evhttp_parse_query_str(query == NULL ? "" : query, &c.query) < 0) {
		reply_text(http, 400, "malformed query\n");
		return;
	}
	strbuf_init(&body, ANSWER_MAX);
	if (check_params(p, http, &c.query)) {
		p->fn(&c.req, p->arg);
		if (!c.is_deferred)
			reply(http, c.req.status, c.req.content_type, c.req.cache_control, &body);
	}
	strbuf_fini(&body);
	evhttp_clear_headers(&c.query);
}

static void
on_request(struct evhttp_request *http, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
	enum evhttp_cmd_type method = evhttp_request_get_command(http);
	const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
	const struct page *p = path == NULL ? NULL : find_page(arg, path);

	if (p == NULL) {
		reply_text(http, 404, "no such page; see / for a list\n");
	} else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		add_field(http, "Allow", "GET, HEAD");
		reply_text(http, 405, "expected GET or HEAD\n");
	} else {
		serve(p, http, uri);
	}
}

static void
set_shared(int fd, int is_shared)
{
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &is_shared, sizeof is_shared);
}

/* A listening descriptor, or -1. */
static int
listen_at(const struct addr *at, bool is_shared, struct err *e)
{
	int one = 1, fd = socket(at->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char holder[HOLDER_TEXT];

	if (fd < 0)
		return err_errno(e, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	set_shared(fd, is_shared);
	if (bind(fd, (const struct sockaddr *)&at->ss, at->len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	if (errno == EADDRINUSE)
		err_set(e, EADDRINUSE, "address in use by %s", holder_of(at, holder));
	else
		err_set(e, errno, "%s", strerror(errno));
	close(fd);
	return -1;
}

/* --- accepting --- */

static void
resume_accepting(struct evhttp_bound_socket *bound, void *arg)
{
	(void)arg;
	evconnlistener_enable(evhttp_bound_socket_get_listener(bound));
}

static void
on_resume(void *arg)
{
	struct admin *a = arg;

	evhttp_foreach_bound_socket(a->http, resume_accepting, NULL);
}

/* No descriptor is left: pause, so that the loop does not spin, and try again later. */
static void
on_accept_error(struct evconnlistener *l, void *http)
{
	struct list_node *node, *tmp;

	log_warn_limited(NULL, "cannot accept a connection to the admin endpoint", "err=%s",
			 strerror(errno));
	evconnlistener_disable(l);
	LIST_FOREACH(&opened, node, tmp) {
		struct admin *a = container_of(node, struct admin, node);

		if (a->http == http)
			loop_timer_set(&a->resume, ACCEPT_PAUSE);
	}
}

/* --- addresses --- */

/* Doors of our own with the same port: one of the two may be a wildcard. */
static void
share_port(const struct admin *a, const struct addr *at, bool is_shared)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->doors, node, tmp) {
		const struct door *d = container_of(node, struct door, node);

		if (addr_port(&d->at) == addr_port(at))
			set_shared(d->fd, is_shared);
	}
}

/* Our own doors do not keep it from being opened. */
static int
open_beside(const struct admin *a, const struct addr *at, struct err *e)
{
	int fd = listen_at(at, false, e);

	if (fd >= 0 || e->code != EADDRINUSE || list_empty(&a->doors))
		return fd;
	share_port(a, at, true);
	fd = listen_at(at, true, e);
	share_port(a, at, false);
	if (fd >= 0)
		set_shared(fd, false);
	return fd;
}

static void
door_free(struct door *d)
{
	if (d->bound == NULL)
		close(d->fd); /* else evhttp has closed it */
	free(d->text);
	free(d);
}

static struct door *
door_new(const struct admin *a, const char *text, struct err *e)
{
	struct door *d = xcalloc(1, sizeof *d);

	d->fd = -1;
	if (addr_parse(&d->at, text, e) == 0) {
		bool is_foreign;

		d->fd = inherited_take(a->from, &d->at, &is_foreign);
		if (d->fd < 0)
			d->fd = open_beside(a, &d->at, e);
	}
	if (d->fd < 0) {
		err_prefix(e, "cannot listen at %s for the admin endpoint", text);
		free(d);
		return NULL;
	}
	d->text = xstrdup(text);
	return d;
}

static struct door *
find_door(const struct list *doors, const char *text)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(doors, node, tmp) {
		struct door *d = container_of(node, struct door, node);

		if (strcmp(d->text, text) == 0)
			return d;
	}
	return NULL;
}

struct admin_change {
	struct admin *admin;
	struct list added; /* of struct door */
	char **texts;	   /* all addresses */
	size_t n;
};

struct admin_change *
admin_change_new(struct admin *a, const char *const *addrs, struct err *e)
{
	struct admin_change *c = xcalloc(1, sizeof *c);

	c->admin = a;
	list_init(&c->added);
	for (; *addrs != NULL; addrs++) {
		struct door *d;

		if ((*addrs)[0] == '\0')
			continue;
		c->texts = xrealloc(c->texts, (c->n + 1) * sizeof *c->texts);
		c->texts[c->n++] = xstrdup(*addrs);
		if (find_door(&a->doors, *addrs) != NULL || find_door(&c->added, *addrs) != NULL)
			continue;
		d = door_new(a, *addrs, e);
		if (d == NULL) {
			admin_change_free(&c);
			return NULL;
		}
		list_push(&c->added, &d->node);
	}
	return c;
}

void
admin_change_free(struct admin_change **cp)
{
	struct admin_change *c = *cp;
	struct list_node *node;

	*cp = NULL;
	if (c == NULL)
		return;
	while ((node = list_pop(&c->added)) != NULL)
		door_free(container_of(node, struct door, node));
	while (c->n > 0)
		free(c->texts[--c->n]);
	free(c->texts);
	free(c);
}

/* Accept connections. */
static void
open_door(struct admin *a, struct door *d)
{
	d->bound = evhttp_accept_socket_with_handle(a->http, d->fd);
	CHECK(d->bound != NULL); /* it fails only where memory does */
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(d->bound), on_accept_error);
	log_info(NULL, "admin endpoint listens", "address=%s", d->text);
}

void
admin_change_make(struct admin_change **cp)
{
	struct admin_change *c = *cp;
	struct admin *a = c->admin;
	struct list_node *node, *tmp;
	size_t i;

	for (i = 0; i < c->n; i++) {
		struct door *d = find_door(&a->doors, c->texts[i]);

		if (d != NULL)
			d->is_kept = true;
	}
	LIST_FOREACH(&a->doors, node, tmp) {
		struct door *d = container_of(node, struct door, node);

		if (d->is_kept) {
			d->is_kept = false;
			continue;
		}
		list_remove(&a->doors, node);
		evhttp_del_accept_socket(a->http, d->bound);
		door_free(d);
	}
	while ((node = list_pop(&c->added)) != NULL) {
		open_door(a, container_of(node, struct door, node));
		list_push(&a->doors, node);
	}
	admin_change_free(cp);
}

struct admin *
admin_open(struct loop *l, const char *const *addrs, struct inherited *from,
	   const struct admin_ops *ops, void *arg, struct err *e)
{
	struct admin *a = xcalloc(1, sizeof *a);
	struct admin_change *change;

	list_init(&a->pages);
	list_init(&a->doors);
	list_push(&opened, &a->node);
	loop_timer_init(&a->resume, l, on_resume, a);
	a->ops = ops;
	a->arg = arg;
	a->http = evhttp_new(loop_base(l));
	CHECK(a->http != NULL);
	evhttp_set_max_headers_size(a->http, HEAD_MAX);
	evhttp_set_max_body_size(a->http, BODY_MAX);
	evhttp_set_timeout(a->http, TIMEOUT_S);
	/* Pass every method on to on_request(), which answers 405; evhttp would answer 501. */
	evhttp_set_allowed_methods(a->http, UINT16_MAX);
	evhttp_set_gencb(a->http, on_request, a);
	admin_add_page(a, "/", page_index, a);
	admin_add_page(a, "/healthz", page_healthz, a);
	admin_add_page(a, "/readyz", page_readyz, a);
	admin_add_page(a, "/metrics", page_metrics, a);
	a->from = from;
	change = admin_change_new(a, addrs, e);
	a->from = NULL;
	if (change == NULL)
		admin_close(&a);
	else
		admin_change_make(&change);
	return a;
}

static void
disable(struct evhttp_bound_socket *bound, void *arg)
{
	(void)arg;
	evconnlistener_disable(evhttp_bound_socket_get_listener(bound));
}

void
admin_pause(struct admin *a)
{
	evhttp_foreach_bound_socket(a->http, disable, NULL);
}

void
admin_resume(struct admin *a)
{
	on_resume(a);
}

void
admin_each_socket(const struct admin *a, void (*fn)(int, void *), void *arg)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->doors, node, tmp)
		fn(container_of(node, struct door, node)->fd, arg);
}

void
admin_add_page(struct admin *a, const char *path, void (*fn)(struct admin_request *, void *arg),
	       void *arg)
{
	struct page *p = xcalloc(1, sizeof *p);

	CHECK(find_page(a, path) == NULL);
	p->path = xstrdup(path);
	p->fn = fn;
	p->arg = arg;
	list_push(&a->pages, &p->node);
}

void
admin_page_params(struct admin *a, const char *path, const char *const *names)
{
	struct page *p = find_page(a, path);

	CHECK(p != NULL);
	p->params = names;
}

void
admin_set_home(struct admin *a, const char *path)
{
	CHECK(find_page(a, path) != NULL);
	a->home = path;
}

void
admin_close(struct admin **ap)
{
	struct admin *a = *ap;
	struct list_node *node;

	*ap = NULL;
	if (a == NULL)
		return;
	loop_timer_fini(&a->resume);
	list_remove(&opened, &a->node);
	evhttp_free(a->http);
	while ((node = list_pop(&a->doors)) != NULL)
		door_free(container_of(node, struct door, node));
	while ((node = list_pop(&a->pages)) != NULL) {
		struct page *p = container_of(node, struct page, node);

		free(p->path);
		free(p);
	}
	free(a);
}
