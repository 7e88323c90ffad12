#include "common/audit_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clk.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/strbuf.h"

#define BEGIN_TIME "{\"time\":\""
#define BEGIN_ID "\",\"id\":\""
#define BEGIN_EVENT "\",\"event\":\""

static const char *const kind_names[] = {
#define X(id, name) [AUDIT_##id] = #name,
	AUDIT_KINDS(X)
#undef X
};

static const char *const result_names[] = {
#define X(id, name) [AUDIT_##id] = #name,
	AUDIT_RESULTS(X)
#undef X
};

static const char *const by_names[] = {
	[AUDIT_BY_RULE] = "rule",	[AUDIT_BY_ROLLOUT] = "rollout",
	[AUDIT_BY_COMMAND] = "command", [AUDIT_BY_SIGNAL] = "signal",
	[AUDIT_BY_FILE] = "file",	[AUDIT_BY_FOREIGN] = "foreign",
};

void
audit_time_format(int64_t wall_ns, char out[AUDIT_TIME_TEXT])
{
	time_t s = (time_t)(wall_ns / CLK_S);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, AUDIT_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, AUDIT_TIME_TEXT - n, ".%06dZ", (int)(wall_ns % CLK_S / CLK_US));
}

/* --- writing --- */

static void
begin(struct jput *j, const struct audit_stamp *stamp, const char *event, struct strbuf *out)
{
	char text[AUDIT_TIME_TEXT];

	audit_time_format(stamp->wall_ns, text);
	jput_init(j, out);
	jput_object(j, NULL);
	jput_string(j, "time", text);
	jput_string(j, "id", stamp->id);
	jput_string(j, "event", event);
	jput_string(j, "program", stamp->program);
	jput_i64(j, "pid", stamp->pid);
}

static void
end(struct jput *j)
{
	jput_object_end(j);
	strbuf_adds(j->out, "\n");
}

static void
put_subject(struct jput *j, const struct audit_subject *s)
{
	jput_string(j, "kind", kind_names[s->kind]);
	jput_string_if(j, "service", s->service);
	jput_string_if(j, "revision", s->revision);
	jput_string_if(j, "object", s->object);
	if (s->generation > 0)
		jput_u64(j, "generation", s->generation);
}

static void
put_value(struct jput *j, const char *key, const struct audit_value *v)
{
	if (!v->is_known)
		jput_null(j, key);
	else if (v->text != NULL)
		jput_string(j, key, v->text);
	else
		jput_i64(j, key, v->n);
}

static void
put_by(struct jput *j, const struct audit_by *by)
{
	const struct audit_peer *peer = &by->peer;

	jput_object(j, "by");
	jput_string(j, "kind", by_names[by->kind]);
	jput_string_if(j, "name", by->name);
	jput_string_if(j, "why", by->why);
	if (by->kind == AUDIT_BY_COMMAND && peer->pid != 0) {
		jput_i64(j, "pid", peer->pid);
		jput_u64(j, "uid", peer->uid);
		if (peer->login_uid != (uid_t)-1)
			jput_u64(j, "login_uid", peer->login_uid);
	}
	jput_object_end(j);
}

void
audit_record_intent(const struct audit_stamp *stamp, const struct audit_change *c,
		    struct strbuf *out)
{
	struct jput j;

	begin(&j, stamp, "intent", out);
	put_subject(&j, &c->subject);
	put_by(&j, &c->by);
	put_value(&j, "from", &c->from);
	put_value(&j, "to", &c->to);
	jput_string_if(&j, "what", c->what);
	end(&j);
}

void
audit_record_outcome(const struct audit_stamp *stamp, const struct audit_subject *s,
		     const struct audit_end *e, struct strbuf *out)
{
	struct jput j;

	begin(&j, stamp, "outcome", out);
	put_subject(&j, s);
	jput_string(&j, "result", result_names[e->result]);
	jput_string_if(&j, "why", e->why);
	if (e->now.is_known)
		put_value(&j, "now", &e->now);
	if (e->took_ns >= 0)
		jput_double(&j, "took_ms", (double)(e->took_ns / CLK_US) / 1000);
	if (e->is_after_restart)
		jput_bool(&j, "after_restart", true);
	end(&j);
}

void
audit_record_lost(const struct audit_stamp *stamp, uint64_t count, struct strbuf *out)
{
	struct jput j;

	begin(&j, stamp, "lost", out);
	jput_u64(&j, "records", count);
	end(&j);
}

/* --- reading --- */

/* What is between this text, with which *at begins, and the next quote.  False: it is not there. */
static bool
take(const char **at, const char *end, const char *before, const char **text, size_t *n)
{
	size_t skip = strlen(before);
	const char *quote;

	if ((size_t)(end - *at) < skip || memcmp(*at, before, skip) != 0)
		return false;
	*text = *at + skip;
	quote = memchr(*text, '"', (size_t)(end - *text));
	if (quote == NULL)
		return false;
	*n = (size_t)(quote - *text);
	*at = quote;
	return true;
}

bool
audit_record_mark(const char *line, size_t n, struct audit_mark *m)
{
	const char *at = line, *stop = line + n, *event;
	size_t event_n;

	if (n < 2 || line[n - 1] != '}' || !take(&at, stop, BEGIN_TIME, &m->time, &m->time_n) ||
	    !take(&at, stop, BEGIN_ID, &m->id, &m->id_n) ||
	    !take(&at, stop, BEGIN_EVENT, &event, &event_n) ||
	    memmem(at, (size_t)(stop - at), BEGIN_TIME, sizeof BEGIN_TIME - 1) != NULL)
		return false; /* or a torn record is followed by another in the same line */
	m->is_intent = event_n == 6 && memcmp(event, "intent", 6) == 0;
	m->is_outcome = event_n == 7 && memcmp(event, "outcome", 7) == 0;
	return true;
}

static int
read_kind(const struct jget *root, enum audit_kind *kind, struct err *e)
{
	char *name = NULL;
	size_t i;

	if (jget_string(root, "kind", JGET_MUST, &name, e) < 0)
		return -1;
	for (i = 0; i < AUDIT_KINDS_N && strcmp(name, kind_names[i]) != 0; i++)
		;
	free(name);
	*kind = (enum audit_kind)i;
	return i < AUDIT_KINDS_N ? 0 : err_set(e, 0, "$.kind: it is not known");
}

static void
read_to(const struct jget *root, struct audit_left *l)
{
	struct err ignored;

	l->to = -1;
	if (jget_i64(root, "to", JGET_MAY, 0, INT64_MAX, &l->to, &ignored) < 0 &&
	    jget_string(root, "to", JGET_MAY, &l->to_text, &ignored) < 0)
		l->to_text = NULL;
}

static int
read_left(const struct jget *root, struct audit_left *l, struct err *e)
{
	if (read_kind(root, &l->kind, e) < 0 || jget_string(root, "id", JGET_MUST, &l->id, e) < 0 ||
	    jget_string(root, "service", JGET_MAY, &l->service, e) < 0 ||
	    jget_string(root, "revision", JGET_MAY, &l->revision, e) < 0 ||
	    jget_string(root, "object", JGET_MAY, &l->object, e) < 0 ||
	    jget_u64(root, "generation", JGET_MAY, &l->generation, e) < 0)
		return -1;
	read_to(root, l);
	return 0;
}

int
audit_record_parse(const char *line, size_t n, struct audit_left *l, struct err *e)
{
	struct jget root;
	struct json_t *json = jget_open(line, n, &root, e);
	int rc;

	memset(l, 0, sizeof *l);
	if (json == NULL)
		return -1;
	rc = read_left(&root, l, e);
	jget_close(&json);
	if (rc < 0)
		audit_left_fini(l);
	return rc;
}

void
audit_left_fini(struct audit_left *l)
{
	free(l->id);
	free(l->service);
	free(l->revision);
	free(l->object);
	free(l->to_text);
	memset(l, 0, sizeof *l);
}
