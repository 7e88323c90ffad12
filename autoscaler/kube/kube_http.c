#include "autoscaler/kube/kube_http.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/kube/curlev.h"
#include "autoscaler/kube/kube_config.h"
#include "autoscaler/kube/kube_exec.h"
#include "autoscaler/kube/kube_json.h"
#include "common/clk.h"
#include "common/daemon.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/strbuf.h"
#include "common/text.h"

/* Idle connections to keep: more than scale-ups that run at a time, or each of a burst would
 * open one. */
#define IDLE_CONNECTIONS 64L
#define IDLE_AGE_S 80L /* servers close an idle connection after 90 s */
#define PING_N 2       /* pings at a time, hence connections that stay open */
#define PING_EVERY (15 * CLK_S)
#define PING_LAST (120 * CLK_S) /* after the last request: then a cluster at rest is left alone */
#define PING_EVERY_AWAY CLK_S	/* while the server does not answer */
#define PING_TIMEOUT (5 * CLK_S)
#define CONNECT_MS 5000L
#define TOKEN_AGE (10 * CLK_S)	    /* after that the token file is read again */
#define BODY_MOST ((size_t)4 << 20) /* bytes of an answer without on_data */
#define RETRY_AFTER_MOST_S 300

enum state { QUEUED, RUNNING, ENDED };

/* Requests that run at a time, each on a connection of its own. */
static const unsigned most[] = {
	[KUBE_WAKE] = 32, [KUBE_NORMAL] = 8, [KUBE_SPARE] = 4, [KUBE_STREAM] = UINT_MAX};

struct kube_request {
	struct list_node node; /* QUEUED: in waiting[priority]; RUNNING: in running */
	struct kube_http *h;
	enum state state;
	enum kube_priority priority;
	char *method, *url, *type, *body;
	int64_t timeout, stall_timeout;
	const struct kube_call_ops *ops;
	void *arg;
	CURL *easy; /* RUNNING */
	struct curlev_transfer transfer;
	struct curl_slist *headers, *connect_to;
	struct strbuf answer;
	struct loop_timer timer; /* the head of a KUBE_STREAM, then stall_timeout */
	bool is_retried;	 /* after a 401 */
	uint64_t credential;	 /* number of the plug-in's that it was sent with */
	bool has_timed_out;	 /* by `timer` */
	const char *withheld;	 /* RUNNING: not sent, and why; `timer` ends it */
	bool is_cut;		 /* on_data ended it */
	char error[CURL_ERROR_SIZE];
};

struct kube_http {
	struct loop *loop;
	const struct kube_config *config;
	const struct kube_http_ops *ops;
	void *arg;
	struct curlev *curl;
	CURLSH *share; /* of TLS sessions */
	char *agent;   /* User-Agent */
	char *token;
	int64_t token_ns;		      /* when it was read */
	struct kube_exec *exec;		      /* NULL: no plug-in gives the credentials */
	struct list waiting[ARRAY_LEN(most)]; /* by priority */
	struct list running;
	unsigned running_n[ARRAY_LEN(most)];
	int64_t hold_until_ns; /* Retry-After: KUBE_NORMAL and KUBE_SPARE wait until then */
	struct loop_timer hold, ping;
	unsigned pings_n;      /* under way */
	int64_t used_ns;       /* when the last request but watches and pings was made */
	int64_t away_since_ns; /* it has not answered since then; 0: it answers */
	struct kube_http_counts counts;
};

const struct kube_http_counts *
kube_http_counts(const struct kube_http *h)
{
	return &h->counts;
}

/* --- credentials --- */

static void
read_token(struct kube_http *h)
{
	struct err e;
	char *token;

	if (h->config->token_file == NULL)
		return;
	h->token_ns = clk_now();
	token = kube_config_read_token(h->config->token_file, &e);
	if (token == NULL) { /* the file may be being replaced; the old token may still be good */
		log_warn_limited(NULL, "cannot read the token, using the last one", "err=%s",
				 e.text);
		return;
	}
	free(h->token);
	h->token = token;
}

static const struct kube_credential *
credential_of(struct kube_http *h)
{
	return h->exec == NULL ? NULL : kube_exec_get(h->exec);
}

static const char *
token_of(struct kube_http *h)
{
	const struct kube_credential *c = credential_of(h);

	if (c != NULL)
		return c->token;
	if (h->config->token != NULL)
		return h->config->token;
	if (h->config->token_file != NULL && clk_now() - h->token_ns > TOKEN_AGE)
		read_token(h);
	return h->token;
}

/* --- a request for libcurl --- */

static bool
is_success(const struct kube_request *r)
{
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status < 300;
}

static size_t
on_curl_write(char *data, size_t size, size_t n, void *arg)
{
	struct kube_request *r = arg;

	if (r->stall_timeout > 0)
		loop_timer_set(&r->timer, r->stall_timeout);
	if (r->ops->on_data != NULL && is_success(r)) {
		r->is_cut = !r->ops->on_data(data, size * n, r->arg);
		return r->is_cut ? 0 : size * n;
	}
	return strbuf_add(&r->answer, data, size * n) < 0 ? 0 : size * n;
}

/* At the end of the head the time limit becomes that for a silence. */
static size_t
on_curl_header(char *data, size_t size, size_t n, void *arg)
{
	struct kube_request *r = arg;

	if (r->stall_timeout == 0 || size * n != 2 || data[0] != '\r')
		return size * n;
	loop_timer_set(&r->timer, r->stall_timeout);
	if (r->ops->on_head != NULL && is_success(r))
		r->ops->on_head(r->arg);
	return size * n;
}

static void
set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {
		.data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};

	CHECK(curl_easy_setopt(easy, option, &blob) == CURLE_OK);
}

static void
set_trust(CURL *easy, const struct kube_config *c)
{
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_pem != NULL || c->ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* trust no other authority */
	if (c->ca_pem != NULL)
		set_blob(easy, CURLOPT_CAINFO_BLOB, c->ca_pem);
	else if (c->ca_file != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
	if (c->cert_pem != NULL)
		set_blob(easy, CURLOPT_SSLCERT_BLOB, c->cert_pem);
	else if (c->cert_file != NULL)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, c->cert_file);
	if (c->key_pem != NULL)
		set_blob(easy, CURLOPT_SSLKEY_BLOB, c->key_pem);
	else if (c->key_file != NULL)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, c->key_file);
	if (c->proxy != NULL)
		curl_easy_setopt(easy, CURLOPT_PROXY, c->proxy);
}

static void
add_header(struct kube_request *r, const char *name, const char *value)
{
	char *line = xasprintf("%s: %s", name, value);

	r->headers = curl_slist_append(r->headers, line);
	CHECK(r->headers != NULL);
	free(line);
}

static void
set_headers(struct kube_request *r)
{
	const char *token = token_of(r->h);
	char *bearer;

	curl_slist_free_all(r->headers);
	r->headers = NULL;
	add_header(r, "Accept", "application/json");
	if (r->type != NULL)
		add_header(r, "Content-Type", r->type);
	if (token != NULL) {
		bearer = xasprintf("Bearer %s", token);
		add_header(r, "Authorization", bearer);
		free(bearer);
	}
	curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
}

/* The client certificate of the plug-in. */
static void
set_credential(struct kube_request *r)
{
	const struct kube_credential *c = credential_of(r->h);

	if (c == NULL)
		return;
	r->credential = kube_exec_number(r->h->exec);
	if (c->cert == NULL)
		return;
	set_blob(r->easy, CURLOPT_SSLCERT_BLOB, c->cert);
	set_blob(r->easy, CURLOPT_SSLKEY_BLOB, c->key);
}

static void
set_up(struct kube_request *r)
{
	CURL *easy = r->easy;

	set_trust(easy, r->h->config);
	set_credential(r);
	curl_easy_setopt(easy, CURLOPT_URL, r->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, r->h->agent);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_SHARE, r->h->share);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_AGE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 15L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_curl_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_curl_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
	if (r->body != NULL) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(r->body));
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
	if (r->priority != KUBE_STREAM)
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
				 (long)((r->timeout + CLK_MS - 1) / CLK_MS));
	set_headers(r);
}

/* --- running requests --- */

static void start_more(struct kube_http *);
static void free_request(struct kube_request *);

static const char *
why_withheld(const struct kube_request *r)
{
	const struct kube_http *h = r->h;

	return h->ops->withhold == NULL || strcmp(r->method, "GET") == 0 ? NULL
									 : h->ops->withhold(h->arg);
}

static void
run(struct kube_request *r)
{
	struct kube_http *h = r->h;

	r->state = RUNNING;
	r->error[0] = '\0';
	list_push(&h->running, &r->node);
	h->running_n[r->priority]++;
	if (r->priority == KUBE_STREAM)
		loop_timer_set(&r->timer, r->timeout);
	r->withheld = why_withheld(r);
	if (r->withheld != NULL) {
		loop_timer_set(&r->timer, 0);
		return;
	}
	h->counts.requests++;
	set_up(r);
	curlev_add(h->curl, r->easy, &r->transfer);
}

/* Take it off the list and the count of those that run. */
static void
stop_running(struct kube_request *r)
{
	list_remove(&r->h->running, &r->node);
	r->h->running_n[r->priority]--;
	loop_timer_clear(&r->timer);
	r->state = ENDED;
}

/* Whether the server answers; why: it does not. */
static void
set_presence(struct kube_http *h, bool is_present, const char *why)
{
	int64_t since = h->away_since_ns;

	if (!is_present && since == 0) {
		h->away_since_ns = clk_now();
		log_warn(NULL, "API server does not answer", "server=%s err=%s", h->config->server,
			 why);
		if (h->pings_n == 0)
			loop_timer_set(&h->ping, PING_EVERY_AWAY);
	}
	if (!is_present)
		return;
	h->away_since_ns = 0;
	if (since != 0)
		h->ops->on_back(since, h->arg);
}

/* By the header or, status_s, by the Status in the body. */
static int64_t
retry_after_of(CURL *easy, int64_t status_s)
{
	curl_off_t s = 0;

	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &s);
	s = MAX(s, status_s);
	return MIN(s, RETRY_AFTER_MOST_S) * CLK_S;
}

static const char *
failure_text(const struct kube_request *r, CURLcode result)
{
	if (r->has_timed_out)
		return "timed out";
	return r->error[0] != '\0' ? r->error : curl_easy_strerror(result);
}

static void
hold(struct kube_http *h, int64_t retry_after)
{
	h->hold_until_ns = MAX(h->hold_until_ns, clk_now() + retry_after);
	loop_timer_set(&h->hold, retry_after);
}

static void
report(struct kube_request *r, CURLcode result)
{
	struct kube_answer a = {.body = strbuf_str(&r->answer), .n = r->answer.len, .reason = ""};
	char *reason = NULL, *message = NULL;
	int64_t retry_s = 0;
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	a.message = "";
	if (result != CURLE_OK) {
		a.message = failure_text(r, result);
	} else {
		a.status = (int)status;
		if (status >= 300)
			kube_status_decode(a.body, a.n, &reason, &message, &retry_s);
		if (status == 429 || status >= 500)
			a.retry_after = retry_after_of(r->easy, retry_s);
		if (status >= 300)
			a.message = message != NULL ? message : "the server gives no message";
	}
	if (reason != NULL)
		a.reason = reason;
	r->h->counts.errors += result != CURLE_OK && !r->is_cut;
	r->h->counts.refused += result == CURLE_OK && status >= 400;
	if (a.retry_after > 0)
		hold(r->h, a.retry_after);
	r->ops->on_done(&a, r->arg);
	free(reason);
	free(message);
}

/* A credential that is refused may have been replaced a moment ago, or the plug-in gives another
 * one: once more with that. */
static bool
retry_with_new_credential(struct kube_request *r, long status)
{
	struct kube_http *h = r->h;

	if (status != 401 || r->is_retried || (h->config->token_file == NULL && h->exec == NULL))
		return false;
	h->counts.refused++;
	r->is_retried = true;
	strbuf_clear(&r->answer);
	if (h->exec != NULL) {
		kube_exec_refused(h->exec, r->credential);
		r->state = QUEUED;
		list_push(&h->waiting[r->priority], &r->node);
		start_more(h);
	} else {
		read_token(h);
		run(r);
	}
	return true;
}

static void
on_done(CURL *easy, CURLcode result, void *arg)
{
	struct kube_request *r = arg;
	struct kube_http *h = r->h;
	bool is_answered = result == CURLE_OK || r->is_cut;
	bool shows_presence;
	char why[CURL_ERROR_SIZE];
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	/* A stream that breaks off does not show that the server is away: the next one will. */
	shows_presence = is_answered || r->priority != KUBE_STREAM || status == 0;
	snprintf(why, sizeof why, "%s", failure_text(r, result));
	stop_running(r);
	if (result != CURLE_OK || !retry_with_new_credential(r, status)) {
		report(r, result);
		free_request(r);
		start_more(h);
	}
	if (shows_presence) /* last, for on_back() may cancel requests */
		set_presence(h, is_answered, why);
}

static void
end_withheld(struct kube_request *r)
{
	const struct kube_answer a = {.body = "", .reason = "", .message = r->withheld};
	struct kube_http *h = r->h;

	stop_running(r);
	r->ops->on_done(&a, r->arg);
	free_request(r);
	start_more(h);
}

/* No head, or nothing more of the answer, in time. */
static void
on_timeout(void *arg)
{
	struct kube_request *r = arg;

	if (r->withheld != NULL) {
		end_withheld(r);
		return;
	}
	r->has_timed_out = true;
	curlev_remove(r->h->curl, r->easy);
	on_done(r->easy, CURLE_OPERATION_TIMEDOUT, r);
}

static void
run_waiting(struct kube_http *h, enum kube_priority p)
{
	while (h->running_n[p] < most[p] && !list_empty(&h->waiting[p]))
		run(container_of(list_pop(&h->waiting[p]), struct kube_request, node));
}

static void
start_more(struct kube_http *h)
{
	if (h->exec != NULL && kube_exec_get(h->exec) == NULL)
		return; /* until the plug-in has given a credential */
	run_waiting(h, KUBE_STREAM);
	run_waiting(h, KUBE_WAKE);
	if (clk_now() < h->hold_until_ns)
		return;
	run_waiting(h, KUBE_NORMAL);
	if (list_empty(&h->waiting[KUBE_NORMAL]))
		run_waiting(h, KUBE_SPARE);
}

static void
on_hold_end(void *arg)
{
	struct kube_http *h = arg;
	int64_t left = h->hold_until_ns - clk_now();

	if (left > 0)
		loop_timer_set(&h->hold, left);
	else
		start_more(h);
}

static void
on_credential(void *arg)
{
	start_more(arg);
}

/* --- calls --- */

static char *
url_of(const struct kube_config *c, const char *path)
{
	const char *host = c->server + strlen("https://"), *rest = host + strcspn(host, ":/");

	if (c->server_name == NULL)
		return xasprintf("%s%s", c->server, path);
	if (host[0] == '[')
		rest = strchr(host, ']') == NULL ? host + strlen(host) : strchr(host, ']') + 1;
	return xasprintf("https://%s%s%s", c->server_name, rest, path);
}

/* The URL has the name that the certificate is verified for; connect to the server's address. */
static void
set_connect_to(struct kube_request *r)
{
	const char *host = r->h->config->server + strlen("https://");
	char *line = xasprintf("::%.*s", (int)strcspn(host, "/"), host);

	r->connect_to = curl_slist_append(NULL, line);
	CHECK(r->connect_to != NULL);
	curl_easy_setopt(r->easy, CURLOPT_CONNECT_TO, r->connect_to);
	free(line);
}

static void note_use(struct kube_http *, const struct kube_call *);

struct kube_request *
kube_http_call(struct kube_http *h, const struct kube_call *call, const struct kube_call_ops *ops,
	       void *arg)
{
	struct kube_request *r = xcalloc(1, sizeof *r);

	note_use(h, call);
	r->h = h;
	r->priority = call->priority;
	r->method = xstrdup(call->method);
	r->url = url_of(h->config, call->path);
	r->type = text_copy(call->type);
	r->body = text_copy(call->body);
	r->timeout = call->timeout;
	r->stall_timeout = call->stall_timeout;
	r->ops = ops;
	r->arg = arg;
	r->transfer = (struct curlev_transfer){on_done, r};
	strbuf_init(&r->answer, BODY_MOST);
	loop_timer_init(&r->timer, h->loop, on_timeout, r);
	r->easy = curl_easy_init();
	CHECK(r->easy != NULL);
	if (h->config->server_name != NULL)
		set_connect_to(r);
	list_push(&h->waiting[r->priority], &r->node);
	start_more(h);
	return r;
}

static void
free_request(struct kube_request *r)
{
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->connect_to);
	curl_slist_free_all(r->headers);
	loop_timer_fini(&r->timer);
	strbuf_fini(&r->answer);
	free(r->body);
	free(r->type);
	free(r->url);
	free(r->method);
	free(r);
}

void
kube_http_cancel(struct kube_request **rp)
{
	struct kube_request *r = *rp;
	struct kube_http *h;

	*rp = NULL;
	if (r == NULL)
		return;
	h = r->h;
	if (r->state == QUEUED) {
		list_remove(&h->waiting[r->priority], &r->node);
	} else {
		if (r->withheld == NULL)
			curlev_remove(h->curl, r->easy);
		stop_running(r);
		loop_timer_set(&h->hold, 0); /* starts a request that waits for its place */
	}
	free_request(r);
}

int64_t
kube_http_delay(struct backoff *b, const struct kube_answer *a)
{
	int64_t delay = backoff_next(b, random_u32());

	/* Up to a tenth more, so that not all come back at once. */
	if (a->retry_after > 0)
		return a->retry_after + a->retry_after / 10 * (int64_t)(random_u32() % 10) / 10;
	return delay;
}

void
kube_http_explain(const struct kube_answer *a, const char *verb, const char *resource,
		  const char *group, const char *ns, char *text, size_t size)
{
	/* Quotas, webhooks and the end of a namespace refuse with 403, too, but name no user. */
	if (a->status == 403 && strstr(a->message, "User \"") != NULL)
		snprintf(
			text, size,
			"missing right: verb \"%s\" on \"%s\" (apiGroup \"%s\") in namespace \"%s\"; "
			"the server said: %s",
			verb, resource, group, ns, a->message);
	else if (a->status == 0)
		snprintf(text, size, "%s", a->message);
	else
		snprintf(text, size, "%d: %s", a->status, a->message);
}

/* --- pings: keep connections open, and notice that the server is away or back --- */

static const struct kube_call ping_call = {
	.method = "GET", .path = "/version", .priority = KUBE_WAKE, .timeout = PING_TIMEOUT};

static void
ping_again(struct kube_http *h)
{
	if (h->away_since_ns != 0)
		loop_timer_set(&h->ping, PING_EVERY_AWAY);
	else if (clk_now() - h->used_ns < PING_LAST)
		loop_timer_set(&h->ping, PING_EVERY);
}

static void
note_use(struct kube_http *h, const struct kube_call *call)
{
	if (call == &ping_call || call->priority == KUBE_STREAM)
		return;
	h->used_ns = clk_now();
	if (h->pings_n == 0 && !loop_timer_pending(&h->ping))
		ping_again(h);
}

static void
on_pong(const struct kube_answer *a, void *arg)
{
	struct kube_http *h = arg;

	(void)a;
	if (--h->pings_n == 0)
		ping_again(h);
}

static const struct kube_call_ops ping_ops = {.on_done = on_pong};

/* All at the same time, so that each has a connection of its own. */
static void
on_ping_due(void *arg)
{
	struct kube_http *h = arg;
	int i;

	h->pings_n = PING_N;
	for (i = 0; i < PING_N; i++)
		kube_http_call(h, &ping_call, &ping_ops, h);
}

/* --- life --- */

struct kube_http *
kube_http_open(struct loop *loop, const struct kube_config *config, const struct kube_http_ops *ops,
	       void *arg, struct err *e)
{
	struct kube_http *h = xcalloc(1, sizeof *h);
	size_t i;

	CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	h->loop = loop;
	h->config = config;
	h->ops = ops;
	h->arg = arg;
	for (i = 0; i < ARRAY_LEN(most); i++)
		list_init(&h->waiting[i]);
	list_init(&h->running);
	h->curl = curlev_new(loop, IDLE_CONNECTIONS, e);
	h->share = curl_share_init();
	if (h->curl == NULL || h->share == NULL) {
		curlev_free(&h->curl);
		free(h);
		return NULL;
	}
	curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	h->agent = xasprintf("activator-autoscaler/%s", daemon_version);
	read_token(h);
	if (config->exec != NULL)
		h->exec = kube_exec_open(loop, config->exec, KUBE_EXEC_TIMEOUT, on_credential, h);
	loop_timer_init(&h->hold, loop, on_hold_end, h);
	loop_timer_init(&h->ping, loop, on_ping_due, h);
	loop_timer_set(&h->ping, 0);
	h->used_ns = clk_now();
	return h;
}

static void
cancel_all(struct list *l)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(l, node, tmp) {
		struct kube_request *r = container_of(node, struct kube_request, node);

		kube_http_cancel(&r);
	}
}

void
kube_http_close(struct kube_http **hp)
{
	struct kube_http *h = *hp;
	size_t i;

	*hp = NULL;
	if (h == NULL)
		return;
	for (i = 0; i < ARRAY_LEN(most); i++)
		cancel_all(&h->waiting[i]);
	cancel_all(&h->running);
	kube_exec_close(&h->exec);
	loop_timer_fini(&h->ping);
	loop_timer_fini(&h->hold);
	curlev_free(&h->curl);
	curl_share_cleanup(h->share);
	free(h->token);
	free(h->agent);
	free(h);
	curl_global_cleanup();
}
