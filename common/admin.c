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
#include "common/clk.h"
#include "common/holder.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/strbuf.h"

#define HEAD_MAX 8192 /* bytes of a request's head */
#define BODY_MAX 1024 /* none is wanted, a polite client may send one */
#define TIMEOUT_S 10  /* silence on a connection */
#define BACKLOG 64
#define ACCEPT_PAUSE (50 * CLK_MS)
#define ANSWER_MAX ((size_t)64 << 20)

struct route {
	struct list_node node;
	char *path;
	void (*fn)(struct admin_request *, void *arg);
	void *arg;
};

struct admin {
	struct list_node node; /* in opened */
	struct evhttp *http;
	struct loop_timer again; /* accepting, after accept(2) has failed */
	struct list routes;	 /* in the order of their making; / lists them */
	const struct admin_ops *ops;
	void *arg;
};

/* evhttp tells of accept(2) what failed, but not with our argument. */
static struct list opened = {.head = {&opened.head, &opened.head}};

/* What one call of a handler needs beside what it sees. */
struct call {
	struct admin_request req;
	struct evkeyvalq query;
};

static const char *
call_param(struct admin_request *req, const char *name)
{
	return evhttp_find_header(&container_of(req, struct call, req)->query, name);
}

static void
route_healthz(struct admin_request *req, void *arg)
{
	(void)arg;
	strbuf_adds(req->body, "ok\n");
}

static void
route_readyz(struct admin_request *req, void *arg)
{
	const struct admin *a = arg;
	const char *why = a->ops->not_ready(a->arg);

	if (why != NULL)
		req->status = 503;
	strbuf_addf(req->body, "%s\n", why == NULL ? "ok" : why);
}

static void
route_metrics(struct admin_request *req, void *arg)
{
	const struct admin *a = arg;

	req->content_type = "text/plain; version=0.0.4; charset=utf-8";
	a->ops->metrics(req->body, a->arg);
}

static void
route_index(struct admin_request *req, void *arg)
{
	const struct admin *a = arg;
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->routes, node, tmp)
		strbuf_addf(req->body, "%s\n", container_of(node, struct route, node)->path);
}

static const struct route *
find_route(const struct admin *a, const char *path)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&a->routes, node, tmp) {
		const struct route *r = container_of(node, struct route, node);

		if (strcmp(r->path, path) == 0)
			return r;
	}
	return NULL;
}

static void
add_field(struct evhttp_request *http, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(http), name, value);
}

/* No reason phrase is passed: evhttp knows those of the codes in use. */
static void
reply(struct evhttp_request *http, int status, const char *content_type, const struct strbuf *body)
{
	struct evbuffer *out = evbuffer_new();
	char length[32];

	CHECK(out != NULL);
	snprintf(length, sizeof length, "%zu", body->len);
	add_field(http, "Content-Length", length);
	add_field(http, "Content-Type", content_type);
	add_field(http, "Cache-Control", "no-store");
	add_field(http, "X-Content-Type-Options", "nosniff");
	if (evhttp_request_get_command(http) != EVHTTP_REQ_HEAD) /* evhttp would send it */
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
	reply(http, status, "text/plain; charset=utf-8", &body);
	strbuf_fini(&body);
}

static void
serve(const struct route *r, struct evhttp_request *http, const struct evhttp_uri *uri)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(http), "Accept");
	const char *query = evhttp_uri_get_query(uri);
	struct strbuf body;
	struct call c = {.req = {.path = r->path,
				 .param = call_param,
				 .is_json_wanted = accept != NULL &&
						   strcasestr(accept, "application/json") != NULL,
				 .body = &body,
				 .content_type = "text/plain; charset=utf-8",
				 .status = 200}};

	if (evhttp_parse_query_str(query == NULL ? "" : query, &c.query) < 0) {
		reply_text(http, 400, "malformed query\n");
		return;
	}
	strbuf_init(&body, ANSWER_MAX);
	r->fn(&c.req, r->arg);
	reply(http, c.req.status, c.req.content_type, &body);
	strbuf_fini(&body);
	evhttp_clear_headers(&c.query);
}

static void
on_request(struct evhttp_request *http, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
	enum evhttp_cmd_type method = evhttp_request_get_command(http);
	const char *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
	const struct route *r = path == NULL ? NULL : find_route(arg, path);

	if (r == NULL) {
		reply_text(http, 404, "no such page; / lists them\n");
	} else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		add_field(http, "Allow", "GET, HEAD");
		reply_text(http, 405, "only GET and HEAD\n");
	} else {
		serve(r, http, uri);
	}
}

/* A listening descriptor, or -1. */
static int
listen_at(const struct addr *at, struct err *e)
{
	int one = 1, fd = socket(at->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char holder[HOLDER_TEXT];

	if (fd < 0)
		return err_errno(e, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
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
resume(struct evhttp_bound_socket *bound, void *arg)
{
	(void)arg;
	evconnlistener_enable(evhttp_bound_socket_get_listener(bound));
}

static void
on_again(void *arg)
{
	struct admin *a = arg;

	evhttp_foreach_bound_socket(a->http, resume, NULL);
}

/* No descriptor is left: look again later, rather than all the time. */
static void
on_accept_error(struct evconnlistener *l, void *http)
{
	struct list_node *node, *tmp;

	log_warn_limited(NULL, "admin endpoint cannot accept", "err=%s", strerror(errno));
	evconnlistener_disable(l);
	LIST_FOREACH(&opened, node, tmp) {
		struct admin *a = container_of(node, struct admin, node);

		if (a->http == http)
			loop_timer_set(&a->again, ACCEPT_PAUSE);
	}
}

static int
open_address(struct admin *a, const char *text, struct err *e)
{
	struct evhttp_bound_socket *bound;
	struct addr at;
	int fd;

	if (addr_parse(&at, text, e) < 0)
		return err_prefix(e, "admin");
	fd = listen_at(&at, e);
	if (fd < 0)
		return err_prefix(e, "cannot listen at %s for admin", text);
	bound = evhttp_accept_socket_with_handle(a->http, fd);
	if (bound == NULL) {
		close(fd);
		return err_set(e, 0, "cannot accept at %s for admin", text);
	}
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound), on_accept_error);
	return 0;
}

struct admin *
admin_open(struct loop *l, const char *const *addrs, const struct admin_ops *ops, void *arg,
	   struct err *e)
{
	struct admin *a = xcalloc(1, sizeof *a);

	list_init(&a->routes);
	list_push(&opened, &a->node);
	loop_timer_init(&a->again, l, on_again, a);
	a->ops = ops;
	a->arg = arg;
	a->http = evhttp_new(loop_base(l));
	CHECK(a->http != NULL);
	evhttp_set_max_headers_size(a->http, HEAD_MAX);
	evhttp_set_max_body_size(a->http, BODY_MAX);
	evhttp_set_timeout(a->http, TIMEOUT_S);
	/* Every method is let through to on_request(): evhttp would say 501. */
	evhttp_set_allowed_methods(a->http, UINT16_MAX);
	evhttp_set_gencb(a->http, on_request, a);
	admin_route(a, "/", route_index, a);
	admin_route(a, "/healthz", route_healthz, a);
	admin_route(a, "/readyz", route_readyz, a);
	admin_route(a, "/metrics", route_metrics, a);
	for (; a != NULL && *addrs != NULL; addrs++)
		if (open_address(a, *addrs, e) < 0)
			admin_close(&a);
		else
			log_info(NULL, "admin endpoint is up", "listen=%s", *addrs);
	return a;
}

void
admin_route(struct admin *a, const char *path, void (*fn)(struct admin_request *, void *arg),
	    void *arg)
{
	struct route *r = xcalloc(1, sizeof *r);

	CHECK(find_route(a, path) == NULL);
	r->path = xstrdup(path);
	r->fn = fn;
	r->arg = arg;
	list_push(&a->routes, &r->node);
}

void
admin_close(struct admin **ap)
{
	struct admin *a = *ap;
	struct list_node *node;

	*ap = NULL;
	if (a == NULL)
		return;
	loop_timer_fini(&a->again);
	list_remove(&opened, &a->node);
	evhttp_free(a->http);
	while ((node = list_pop(&a->routes)) != NULL) {
		struct route *r = container_of(node, struct route, node);

		free(r->path);
		free(r);
	}
	free(a);
}
