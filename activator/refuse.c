#include "activator/refuse.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/codec.h"
#include "activator/conn.h"
#include "activator/deadline.h"
#include "activator/http/fields.h"
#include "activator/http/grpc.h"
#include "activator/revision.h"
#include "activator/waitpage.h"
#include "common/jput.h"
#include "common/strbuf.h"

static void
add_text(struct strbuf *b, const char *s)
{
	for (; *s != '\0'; s++) /* a driver's message may hold any byte */
		strbuf_add(b, (unsigned char)*s < 0x20 || *s == 0x7f ? " " : s, 1);
}

/* Where response_start_timeout was over first, the text of the outcome would name another key. */
static const char *
text_of(const struct xfer *x, enum outcome out)
{
	if ((out == OUT_RESPONSE_TIMEOUT || out == OUT_ACTIVATION_TIMEOUT) && x->route != NULL &&
	    deadline_is_start_over(x))
		return "the response did not begin in time";
	return outcome_text(out);
}

static void
write_json(struct strbuf *b, const struct xfer *x, enum outcome out, const char *why)
{
	struct jput j;

	jput_init(&j, b);
	jput_object(&j, NULL);
	jput_string(&j, "reason", outcome_reason(out));
	jput_string(&j, "message", text_of(x, out));
	jput_string_if(&j, "detail", why);
	jput_string_if(&j, "revision", x->route == NULL ? NULL : x->route->rev->name);
	jput_object_end(&j);
}

static void
write_text(struct strbuf *b, const struct xfer *x, enum outcome out, const char *why)
{
	strbuf_addf(b, "%s: %s", outcome_reason(out), text_of(x, out));
	if (why != NULL) {
		strbuf_adds(b, ": ");
		add_text(b, why);
	}
}

/* Write the answer to the client.  body: NULL where the status has none. */
static void
send_answer(struct xfer *x, uint32_t status, const struct strbuf *fields, const struct strbuf *body)
{
	const struct answer a = {
		.status = status,
		.fields = strbuf_str(fields),
		.body = body == NULL ? NULL : strbuf_str(body),
		.body_n = body == NULL ? 0 : body->len,
	};

	x->is_head_written = true;
	x->status = (uint16_t)status;
	x->bytes_out += x->is_head_method ? 0 : a.body_n;
	if (x->is_grpc)
		x->grpc_status = (int8_t)grpc_status_of_fields(a.fields);
	if (x->conn->codec->answer(x, &a) < 0) /* the client is gone: conn_advance() closes */
		x->is_persistent = false;
}

int64_t
refuse_retry_after(const struct xfer *x, enum outcome out)
{
	uint32_t cold_ms;

	switch (out) {
	case OUT_QUEUE_FULL:
	case OUT_NOT_ACTIVE:
	case OUT_ACTIVATION_TIMEOUT:
	case OUT_ACTIVATION_FAILED:
	case OUT_WAITING_PAGE:
		break;
	case OUT_SHUTTING_DOWN:
	case OUT_UPSTREAM_REFUSED:
		return 1;
	default:
		return 0;
	}
	cold_ms = x->route == NULL ? 0
				   : atomic_load_explicit(&x->route->rev->cold_start_ms,
							  memory_order_relaxed);
	return MAX((cold_ms + 999) / 1000, 1);
}

/* --- to a call of gRPC: a head that is the trailers, too ("Trailers-Only") --- */

static const struct strbuf no_body;

static void
send_grpc(struct xfer *x, enum grpc_status status, const struct strbuf *message,
	  struct strbuf *fields)
{
	strbuf_addf(fields, "Content-Type: application/grpc\r\nGrpc-Status: %d\r\nGrpc-Message: ",
		    (int)status);
	grpc_add_message(fields, strbuf_str(message), message->len);
	strbuf_adds(fields, "\r\n");
	send_answer(x, 200, fields, &no_body);
}

/* UNAVAILABLE says that the call may be made again.  Not so if an instance may have processed it.
 */
static enum grpc_status
grpc_status_of(const struct xfer *x, enum outcome out)
{
	return out == OUT_UPSTREAM_FAILED && xfer_was_sent(x) ? GRPC_INTERNAL
							      : outcome_grpc_status(out);
}

static void
refuse_grpc(struct xfer *x, enum outcome out, const char *why, int64_t retry_after_s)
{
	enum grpc_status status = grpc_status_of(x, out);
	struct strbuf fields, message;

	strbuf_init(&fields, 0);
	strbuf_init(&message, 0);
	write_text(&message, x, out, why);
	strbuf_addf(&fields, "X-Activator-Reason: %s\r\n", outcome_reason(out));
	if (status == GRPC_UNAVAILABLE) /* gRFC A6: when to make it again */
		strbuf_addf(&fields, "Grpc-Retry-Pushback-Ms: %lld\r\n",
			    (long long)MAX(retry_after_s, 1) * 1000);
	send_grpc(x, status, &message, &fields);
	strbuf_fini(&fields);
	strbuf_fini(&message);
}

/* The fields of the rule, and a status, unless they have one. */
static void
refuse_rule_grpc(struct xfer *x, const struct rule_conf *rule)
{
	struct strbuf fields, message;
	bool has_status = false;
	size_t i;

	strbuf_init(&fields, 0);
	strbuf_init(&message, 0);
	strbuf_adds(&message, rule->body == NULL ? "" : rule->body);
	for (i = 0; i < rule->fields.n; i++) {
		const char *field = rule->fields.v[i];
		size_t name_n = strcspn(field, ":");

		has_status |= field_is(field, name_n, "grpc-status");
		if (!field_is(field, name_n, "content-type"))
			strbuf_addf(&fields, "%s\r\n", field);
	}
	if (has_status) {
		strbuf_adds(&fields, "Content-Type: application/grpc\r\n");
		send_answer(x, 200, &fields, &no_body);
	} else {
		send_grpc(x, grpc_status_of_http(rule->status), &message, &fields);
	}
	strbuf_fini(&fields);
	strbuf_fini(&message);
}

/* --- to all others --- */

void
refuse_write(struct xfer *x, enum outcome out, const char *why, int64_t retry_after_s)
{
	struct strbuf fields, body;

	if (x->is_grpc) {
		refuse_grpc(x, out, why, retry_after_s);
		return;
	}
	strbuf_init(&fields, 0);
	strbuf_init(&body, 0);
	if (x->wants_json)
		write_json(&body, x, out, why);
	else
		write_text(&body, x, out, why);
	strbuf_adds(&body, "\n");
	strbuf_addf(&fields,
		    "X-Activator-Reason: %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\n",
		    outcome_reason(out),
		    x->wants_json ? "application/json" : "text/plain; charset=utf-8");
	if (retry_after_s > 0)
		strbuf_addf(&fields, "Retry-After: %lld\r\n", (long long)retry_after_s);
	send_answer(x, (uint32_t)outcome_status(out), &fields, &body);
	strbuf_fini(&fields);
	strbuf_fini(&body);
}

/* Fields that may hold a secret: TRACE does not send them back (RFC 9110 9.3.8). */
static bool
is_secret(const struct h1_field *f)
{
	return field_is(f->name, f->name_n, "cookie") ||
	       field_is(f->name, f->name_n, "authorization") ||
	       field_is(f->name, f->name_n, "proxy-authorization");
}

void
refuse_trace(struct xfer *x, const struct h1_head *h)
{
	struct strbuf fields, body;
	uint32_t i;

	strbuf_init(&fields, 0);
	strbuf_init(&body, 0);
	strbuf_addf(&body, "%.*s %.*s HTTP/1.%u\r\n", (int)h->method_n, h->method, (int)h->target_n,
		    h->target, h->minor);
	for (i = 0; i < h->n; i++)
		if (!is_secret(&h->fields[i]))
			strbuf_addf(&body, "%.*s: %.*s\r\n", (int)h->fields[i].name_n,
				    h->fields[i].name, (int)h->fields[i].value_n,
				    h->fields[i].value);
	strbuf_adds(&body, "\r\n");
	strbuf_adds(&fields, "X-Activator-Reason: max_forwards\r\nContent-Type: message/http\r\n"
			     "Cache-Control: no-store\r\n");
	send_answer(x, 200, &fields, &body);
	strbuf_fini(&fields);
	strbuf_fini(&body);
}

void
refuse_page(struct xfer *x, const struct waitpage_view *view)
{
	struct strbuf fields, body;

	strbuf_init(&fields, 0);
	strbuf_init(&body, 0);
	waitpage_render(&body, x->service->waiting_page, view);
	strbuf_addf(&fields, "X-Activator-Reason: %s\r\n%sRetry-After: %u\r\n",
		    outcome_reason(OUT_WAITING_PAGE), waitpage_fields, view->retry_s);
	send_answer(x, 503, &fields, &body);
	strbuf_fini(&fields);
	strbuf_fini(&body);
}

void
refuse_redirect(struct xfer *x, const struct request *r)
{
	uint32_t port = x->w->conf->https_port;
	bool is_bare = r->target_n == 0 || r->path[0] == '?' || r->path[0] == '*';
	struct strbuf fields, body;

	strbuf_init(&fields, 0);
	strbuf_init(&body, 0);
	strbuf_addf(&fields, "X-Activator-Reason: %s\r\nLocation: https://%.*s",
		    outcome_reason(OUT_REDIRECTED), (int)r->host_n, r->authority);
	if (port != 443)
		strbuf_addf(&fields, ":%u", port);
	strbuf_addf(&fields, "%s%.*s\r\nContent-Type: text/plain; charset=utf-8\r\n",
		    is_bare ? "/" : "", r->path[0] == '*' ? 0 : (int)r->target_n, r->path);
	strbuf_addf(&body, "%s: %s\n", outcome_reason(OUT_REDIRECTED),
		    outcome_text(OUT_REDIRECTED));
	send_answer(x, 308, &fields, &body);
	strbuf_fini(&fields);
	strbuf_fini(&body);
}

void
refuse_rule(struct xfer *x, const struct rule_conf *rule)
{
	bool has_body = rule->status != 204 && rule->status != 304;
	struct strbuf fields, body;
	size_t i;

	if (x->is_grpc) {
		refuse_rule_grpc(x, rule);
		return;
	}
	strbuf_init(&fields, 0);
	strbuf_init(&body, 0);
	if (rule->body != NULL)
		strbuf_adds(&body, rule->body);
	for (i = 0; i < rule->fields.n; i++)
		strbuf_addf(&fields, "%s\r\n", rule->fields.v[i]);
	send_answer(x, rule->status, &fields, has_body ? &body : NULL);
	strbuf_fini(&fields);
	strbuf_fini(&body);
}

void
refuse_probe(struct xfer *x, uint32_t status, const char *more, const char *text)
{
	struct strbuf fields, body;

	strbuf_init(&fields, 0);
	strbuf_init(&body, 0);
	strbuf_addf(&fields,
		    "%sContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n",
		    more);
	strbuf_adds(&body, text);
	send_answer(x, status, &fields, &body);
	strbuf_fini(&fields);
	strbuf_fini(&body);
}

void
refuse_connection(int fd, const char *why)
{
	char answer[512], rest[4096];
	int size = snprintf(answer, sizeof answer,
			    "HTTP/1.1 503 Service Unavailable\r\n"
			    "X-Activator-Reason: queue_full\r\n"
			    "Retry-After: 1\r\n"
			    "Content-Type: text/plain; charset=utf-8\r\n"
			    "Content-Length: %zu\r\n"
			    "Connection: close\r\n"
			    "\r\n"
			    "queue_full: %s\n",
			    strlen("queue_full: \n") + strlen(why), why);
	ssize_t n = send(fd, answer, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);

	/* Closing with unread bytes would send a reset, which can overtake the answer. */
	shutdown(fd, SHUT_WR);
	if (n > 0)
		n = recv(fd, rest, sizeof rest, MSG_DONTWAIT);
	(void)n;
	close(fd);
}
