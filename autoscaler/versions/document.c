#include "autoscaler/versions/document.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/conf_names.h"
#include "common/jget.h"
#include "common/jput.h"
#include "common/settings_value.h"
#include "common/strbuf.h"
#include "common/text.h"

#define SERVICE_HEAD "# activatorctl: generation=%" PRIu64 " next=%" PRIu32 "\n"
#define SERVICE_SCAN "# activatorctl: generation=%" SCNu64 " next=%" SCNu32
/* A line for each revision that is not active: since when. */
#define INACTIVE_LINE "# activatorctl: inactive_since=%" PRId64 " %s\n"
#define INACTIVE_SCAN "# activatorctl: inactive_since=%" SCNd64 " %n"
#define STATE_HEAD "# activatorctl: state="
#define REVISION_HEAD "# activatorctl: created=%" PRId64 "\n"
#define REVISION_SCAN "# activatorctl: created=%" SCNd64

/* --- writing --- */

static void
indent(struct strbuf *out, unsigned depth)
{
	strbuf_addf(out, "%*s", (int)(4 * depth), "");
}

static void
put_value(const struct conf_value *v, struct strbuf *out, unsigned depth)
{
	size_t i;

	indent(out, depth);
	strbuf_addf(out, "%s = %s", v->key->name, value_is_list(v->key) ? "{" : "");
	for (i = 0; i < v->n; i++) {
		if (i > 0)
			strbuf_adds(out, ", ");
		value_format_string(v->texts[i], out);
	}
	strbuf_adds(out, value_is_list(v->key) ? "}\n" : "\n");
}

static const char *
kind_name(unsigned where)
{
	size_t i;

	for (i = 0; i < conf_kinds_n; i++)
		if (conf_kinds[i].where == where)
			return conf_kinds[i].name;
	CHECK(!"a kind of section that is not known");
}

static void put_body(const struct conf_section *, unsigned not_in, struct strbuf *, unsigned depth);

static void
put_section(const struct conf_section *s, struct strbuf *out, unsigned depth)
{
	indent(out, depth);
	strbuf_adds(out, kind_name(s->where));
	if (s->title != NULL) {
		strbuf_adds(out, " ");
		value_format_string(s->title, out);
	}
	strbuf_adds(out, " {\n");
	put_body(s, 0, out, depth + 1);
	indent(out, depth);
	strbuf_adds(out, "}\n");
}

/* Values and sections, but no sections of the kinds not_in. */
static void
put_body(const struct conf_section *s, unsigned not_in, struct strbuf *out, unsigned depth)
{
	size_t i, k;

	for (k = 0; k < settings_keys_n; k++)
		for (i = 0; i < s->values_n; i++)
			if (s->values[i].key == &settings_keys[k])
				put_value(&s->values[i], out, depth);
	for (i = 0; i < s->sections_n; i++)
		if (s->sections[i].where != IN_IGNORED && (s->sections[i].where & not_in) == 0)
			put_section(&s->sections[i], out, depth);
}

void
document_put_service_body(const struct conf_section *service, struct strbuf *out)
{
	put_body(service, IN_TRAFFIC | IN_REVISION, out, 1);
}

void
document_put_revision_body(const struct conf_section *revision, struct strbuf *out)
{
	put_body(revision, 0, out, 2);
}

static void
put_title(const char *kind, const char *title, struct strbuf *out)
{
	strbuf_addf(out, "%s ", kind);
	value_format_string(title, out);
	strbuf_adds(out, " {\n");
}

static void
put_route(const struct stored_service *s, bool is_active_only, struct strbuf *out)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		const struct stored_revision *r = &s->v[i];

		if (is_active_only && !stored_revision_is_active(r))
			continue;
		strbuf_adds(out, "    traffic ");
		value_format_string(r->name, out);
		strbuf_addf(out, " { percent = %u", r->percent);
		if (MIN(r->latest, r->percent) > 0)
			strbuf_addf(out, " latest = %u", MIN(r->latest, r->percent));
		if (r->tag != NULL) {
			strbuf_adds(out, " tag = ");
			value_format_string(r->tag, out);
		}
		strbuf_adds(out, " }\n");
	}
}

static void
put_revision(const struct stored_revision *r, struct strbuf *out)
{
	strbuf_adds(out, "    ");
	put_title("revision", r->name, out);
	strbuf_addf(out, "%s    }\n", r->body);
}

/* What a conf file has no words for: the rollout, and which revisions one has rejected. */
static void
put_state(const struct stored_service *s, struct strbuf *out)
{
	bool has_rejected = false;
	struct jput j;
	size_t i;

	for (i = 0; i < s->n; i++)
		has_rejected = has_rejected || s->v[i].rejected != NULL;
	if (s->rollout == NULL && !has_rejected)
		return;
	strbuf_adds(out, STATE_HEAD);
	jput_init(&j, out);
	jput_object(&j, NULL);
	if (s->rollout != NULL) {
		jput_object(&j, "rollout");
		rollout_put(s->rollout, &j);
		jput_object_end(&j);
	}
	jput_array(&j, "rejected");
	for (i = 0; i < s->n; i++) {
		if (s->v[i].rejected == NULL)
			continue;
		jput_object(&j, NULL);
		jput_string(&j, "revision", s->v[i].name);
		jput_string(&j, "reason", s->v[i].rejected);
		jput_object_end(&j);
	}
	jput_array_end(&j);
	jput_object_end(&j);
	strbuf_adds(out, "\n");
}

void
document_put_service(const struct stored_service *s, struct strbuf *out)
{
	size_t i;

	strbuf_addf(out, SERVICE_HEAD, s->generation, s->next);
	for (i = 0; i < s->n; i++)
		if (s->v[i].inactive_s != 0)
			strbuf_addf(out, INACTIVE_LINE, s->v[i].inactive_s, s->v[i].name);
	put_state(s, out);
	put_title("service", s->name, out);
	strbuf_adds(out, s->body);
	put_route(s, false, out);
	strbuf_adds(out, "}\n");
}

void
document_put_revision(const struct stored_service *s, const struct stored_revision *r,
		      struct strbuf *out)
{
	strbuf_addf(out, REVISION_HEAD, r->created_s);
	put_title("service", s->name, out);
	put_revision(r, out);
	strbuf_adds(out, "}\n");
}

void
document_put_conf(const struct stored_service *s, bool is_active_only, struct strbuf *out)
{
	size_t i;

	put_title("service", s->name, out);
	strbuf_adds(out, s->body);
	put_route(s, is_active_only, out);
	for (i = 0; i < s->n; i++)
		if (!is_active_only || stored_revision_is_active(&s->v[i]))
			put_revision(&s->v[i], out);
	strbuf_adds(out, "}\n");
}

/* --- reading --- */

/* Only services may stand there. */
static void
refuse_others(const struct conf_section *root, struct conf_errors *errors)
{
	size_t i;

	if (root->values_n > 0)
		conf_error(errors, root->values[0].line, "%s: expected services alone",
			   root->values[0].key->name);
	for (i = 0; i < root->sections_n; i++)
		if (root->sections[i].where != IN_SERVICE && root->sections[i].where != IN_IGNORED)
			conf_error(errors, root->sections[i].line, "expected services alone");
}

struct conf_section *
document_parse(const char *file, const char *text, size_t n, struct settings_errors *lines)
{
	struct conf_errors errors = {.file = file};
	bool is_whole = true;
	struct conf_section *root = conf_read_bytes(text, n, &errors, &is_whole);
	bool is_bad;

	if (root != NULL)
		refuse_others(root, &errors);
	is_bad = errors.n > 0 || !is_whole;
	conf_errors_move(&errors, lines);
	if (is_bad)
		conf_free(&root);
	return root;
}

/* As document_parse(), of one service, with the first mistake in err. */
static struct conf_section *
parse_one(const char *file, const char *text, size_t n, struct err *e)
{
	struct settings_errors lines = {NULL, 0};
	struct conf_section *root = document_parse(file, text, n, &lines);

	if (root == NULL)
		err_set(e, 0, "%s", lines.n == 0 ? "it cannot be parsed" : lines.lines[0]);
	settings_errors_free(&lines);
	if (root != NULL && conf_section_count(root, IN_SERVICE) != 1) {
		err_set(e, 0, "%s: expected one service", file);
		conf_free(&root);
	}
	return root;
}

static const char *
text_of(const struct conf_section *s, const char *key)
{
	const struct conf_value *v = conf_find(s, key);

	return v == NULL || v->n == 0 ? NULL : v->texts[0];
}

static uint32_t
percent_of(const struct conf_section *s, const char *key)
{
	const char *text = text_of(s, key);

	return text == NULL ? 0 : (uint32_t)strtoul(text, NULL, 10);
}

static void
read_route(const struct conf_section *service, struct stored_service *s)
{
	const struct conf_section *t;
	const char *tag;
	size_t i;

	s->v = xcalloc(conf_section_count(service, IN_TRAFFIC) + 1, sizeof *s->v);
	for (i = 0; (t = conf_section_at(service, IN_TRAFFIC, i)) != NULL; i++) {
		tag = text_of(t, "tag");
		s->v[s->n++] = (struct stored_revision){.name = xstrdup(t->title),
							.body = xstrdup(""),
							.percent = percent_of(t, "percent"),
							.latest = percent_of(t, "latest"),
							.tag = tag == NULL ? NULL : xstrdup(tag)};
	}
}

/* The lines between the first one and the service. */
static void
read_inactive(const char *text, struct stored_service *s)
{
	const char *line;
	int64_t since;
	int skip;

	for (line = strchr(text, '\n'); line != NULL; line = strchr(line, '\n')) {
		struct stored_revision *r;
		char *name;

		line++;
		skip = 0;
		if (line[0] != '#')
			return;
		if (sscanf(line, INACTIVE_SCAN, &since, &skip) != 1 || skip == 0)
			continue;
		name = xstrndup(line + skip, strcspn(line + skip, "\n"));
		r = stored_service_find(s, name);
		free(name);
		if (r != NULL)
			r->inactive_s = since;
	}
}

static int
read_rejected(const struct jget *root, struct stored_service *s, struct err *e)
{
	struct jget array, element;
	struct stored_revision *rev;
	char *name = NULL, *reason = NULL;
	size_t n = 0, i;
	int rc = jget_array(root, "rejected", JGET_MAY, &array, &n, e);

	for (i = 0; rc == 0 && i < n; i++) {
		rc = jget_element(&array, i, &element, e);
		if (rc == 0)
			rc = jget_string(&element, "revision", JGET_MUST, &name, e);
		if (rc == 0)
			rc = jget_string(&element, "reason", JGET_MUST, &reason, e);
		rev = rc < 0 ? NULL : stored_service_find(s, name);
		if (rev != NULL)
			text_replace(&rev->rejected, reason);
		free(name);
		free(reason);
		name = reason = NULL;
	}
	return rc;
}

static int
read_rollout(const struct jget *root, struct stored_service *s, struct err *e)
{
	struct jget at;

	if (jget_object(root, "rollout", JGET_MAY, &at, e) < 0)
		return -1;
	if (at.json == NULL)
		return 0;
	s->rollout = rollout_get(&at, e);
	if (s->rollout == NULL)
		return -1;
	if (rollout_is_active(s->rollout) && stored_service_find(s, s->rollout->to) == NULL)
		return err_set(e, 0, "a rollout to a revision that there is not");
	model_mark_rollout(s);
	return 0;
}

/* The line that has the state, among those between the first one and the service; NULL: none. */
static const char *
find_state(const char *text)
{
	const char *line;

	for (line = strchr(text, '\n'); line != NULL && line[1] == '#'; line = strchr(line, '\n')) {
		line++;
		if (strncmp(line, STATE_HEAD, sizeof STATE_HEAD - 1) == 0)
			return line + sizeof STATE_HEAD - 1;
	}
	return NULL;
}

static int
read_state(const char *file, const char *text, struct stored_service *s, struct err *e)
{
	const char *at = find_state(text);
	struct json_t *json;
	struct jget root;
	int rc;

	if (at == NULL)
		return 0;
	json = jget_open(at, strcspn(at, "\n"), &root, e);
	if (json == NULL)
		return err_prefix(e, "%s: state", file);
	rc = read_rollout(&root, s, e) < 0 || read_rejected(&root, s, e) < 0 ? -1 : 0;
	jget_close(&json);
	return rc < 0 ? err_prefix(e, "%s: state", file) : 0;
}

int
document_read_service(const char *file, const char *text, size_t n, struct stored_service **out,
		      struct err *e)
{
	struct conf_section *root, *service;
	struct strbuf body;
	uint64_t generation;
	uint32_t next;

	if (sscanf(text, SERVICE_SCAN, &generation, &next) != 2)
		return err_set(e, 0, "%s: expected generation and next in its first line", file);
	root = parse_one(file, text, n, e);
	if (root == NULL)
		return -1;
	service = conf_section_at(root, IN_SERVICE, 0);
	strbuf_init(&body, 0);
	document_put_service_body(service, &body);
	*out = stored_service_new(service->title);
	(*out)->generation = generation;
	(*out)->next = next;
	free((*out)->body);
	(*out)->body = strbuf_take(&body);
	read_route(service, *out);
	read_inactive(text, *out);
	conf_free(&root);
	if (read_state(file, text, *out, e) == 0)
		return 0;
	stored_service_free(out);
	return -1;
}

int
document_read_revision(const char *file, const char *text, size_t n, struct stored_revision *r,
		       struct err *e)
{
	struct conf_section *root, *revision;
	struct strbuf body;

	if (sscanf(text, REVISION_SCAN, &r->created_s) != 1)
		return err_set(e, 0, "%s: expected created in its first line", file);
	root = parse_one(file, text, n, e);
	if (root == NULL)
		return -1;
	revision = conf_section_at(conf_section_at(root, IN_SERVICE, 0), IN_REVISION, 0);
	if (revision == NULL || strcmp(revision->title, r->name) != 0) {
		conf_free(&root);
		return err_set(e, 0, "%s: expected the revision \"%s\"", file, r->name);
	}
	strbuf_init(&body, 0);
	document_put_revision_body(revision, &body);
	free(r->body);
	r->body = strbuf_take(&body);
	conf_free(&root);
	return 0;
}

/* --- settings --- */

/* In a rollout, the clients that are sticky follow the exact proportions of the step: those of
 * whole percents differ from step to step, and a client could move from one old revision to
 * another. */
static void
set_weights(const struct rollout *r, struct service_conf *conf)
{
	size_t i;

	if (!rollout_is_active(r) || r->step == 0)
		return;
	for (i = 0; i < conf->traffic_n; i++)
		conf->traffic[i].weight = rollout_weight(r, conf->traffic[i].revision);
}

struct service_conf *
document_load(const struct stored_service *s, const struct settings *base,
	      struct settings_errors *lines)
{
	struct conf_errors errors = {.file = s->name};
	struct service_conf *conf = NULL;
	struct conf_section *root;
	struct strbuf text;

	strbuf_init(&text, 0);
	document_put_conf(s, true, &text);
	root = document_parse(s->name, text.data, text.len, lines);
	if (root != NULL) {
		conf = settings_load_service(base, conf_section_at(root, IN_SERVICE, 0), &errors);
		conf_errors_move(&errors, lines);
	}
	if (conf != NULL)
		set_weights(s->rollout, conf);
	strbuf_fini(&text);
	conf_free(&root);
	return conf;
}
