#include "autoscaler/ctl_versions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "autoscaler/commit.h"
#include "autoscaler/ctl_annotated.h"
#include "autoscaler/ctl_knative.h"
#include "autoscaler/ctl_target.h"
#include "autoscaler/facts.h"
#include "autoscaler/services.h"
#include "autoscaler/versions/change.h"
#include "autoscaler/versions/document.h"
#include "autoscaler/versions/store.h"
#include "common/clk.h"
#include "common/conf_tree.h"
#include "common/jput.h"
#include "common/log.h"
#include "common/settings_claims.h"
#include "common/settings_form.h"
#include "common/strbuf.h"
#include "common/text.h"

#define TRAFFIC_MAX 100 /* revisions that a command may name */

static int64_t
now_s(void)
{
	return clk_wall() / CLK_S;
}

void
ctl_versions_refuse(struct ctl_request *r, const struct err *e)
{
	enum ctl_status status = e->code == ENOENT ? CTL_NOT_FOUND : CTL_FAILED;
	const char *next = NULL;

	if (e->code == EAGAIN)
		next = "look at it again, and repeat the command";
	else if (e->code == ENOENT)
		next = "activatorctl revisions NAME shows its revisions and tags";
	ctl_done(r, status, next, "%s", e->text);
}

/* Each mistake is a result; then the end. */
static void
refuse_mistakes(struct ctl_request *r, struct settings_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->n; i++) {
		struct jput *j = ctl_line(r, "result");

		jput_string(j, "program", "autoscaler");
		jput_bool(j, "done", false);
		jput_string(j, "text", errors->lines[i]);
		ctl_line_end(r);
	}
	settings_errors_free(errors);
	ctl_done(r, CTL_FAILED, NULL, "nothing has changed");
}

/* --- checks --- */

/* The service is not the store's: say where to change it. */
static void
refuse_source(struct ctl_request *r, const struct facts *f, const struct service_conf *service)
{
	if (services_source_of(f->services, service) == SERVICES_FOUND)
		ctl_annotated_refuse(r, service);
	else if (service->knative != NULL)
		ctl_knative_refuse(r, service);
	else
		ctl_done(r, CTL_FAILED, "change it there, then: activatorctl reload",
			 "the service \"%s\" is in the conf file, %s:%u", service->name,
			 services_settings(f->services)->file, service->line);
}

/* Does the command make a service where there is none? */
static bool
makes_services(const struct ctl_asked *asked)
{
	return strcmp(asked->command, "deploy") == 0 || strcmp(asked->command, "apply") == 0;
}

/* May the store have a service of that name?  -1: the request is done. */
static int
check_source(struct ctl_request *r, const struct facts *f, const char *name)
{
	const struct service_conf *service = services_find(f->services, name);

	if (service != NULL && services_source_of(f->services, service) != SERVICES_OF_STORE) {
		refuse_source(r, f, service);
		return -1;
	}
	if (strcmp(f->driver, "kubernetes") == 0 && !makes_services(ctl_asked(r))) {
		ctl_target_refuse(r, f, name);
		return -1;
	}
	if (strcmp(f->driver, "kubernetes") == 0) {
		ctl_done(r, CTL_FAILED, "annotate a Deployment, or name it in the conf file",
			 "the store is for programs of one machine, not for a cluster");
		return -1;
	}
	if (f->store == NULL) {
		ctl_done(r, CTL_FAILED, "its log says why", "the autoscaler cannot read its store");
		return -1;
	}
	return 0;
}

struct claim_search {
	const struct service_conf *other;
	const char *claim;
};

static bool
is_same(const char *claim, void *arg)
{
	const struct claim_search *search = arg;

	return strcmp(claim, search->claim) == 0;
}

static bool
is_taken(const char *claim, void *arg)
{
	struct claim_search *search = arg;

	search->claim = claim;
	return settings_each_claim(search->other, is_same, search);
}

/* Does another service have one of its hosts with one of its paths? */
static const struct service_conf *
find_clash(const struct facts *f, const struct service_conf *s)
{
	size_t i;

	for (i = 0; i < services_n(f->services); i++) {
		struct claim_search search = {.other = services_at(f->services, i)};

		if (strcmp(search.other->name, s->name) != 0 &&
		    settings_each_claim(s, is_taken, &search))
			return search.other;
	}
	return NULL;
}

/* Would the service be in order?  -1: the request is done. */
static int
check_service(struct ctl_request *r, const struct facts *f, const struct stored_service *s)
{
	struct settings_errors errors = {NULL, 0};
	struct service_conf *conf = document_load(s, services_settings(f->services), &errors);
	const struct service_conf *clash;

	if (conf == NULL) {
		refuse_mistakes(r, &errors);
		return -1;
	}
	settings_errors_free(&errors);
	clash = find_clash(f, conf);
	if (clash != NULL)
		ctl_done(r, CTL_FAILED, NULL,
			 "the service \"%s\" has a host and path of \"%s\" already", clash->name,
			 s->name);
	settings_service_free(&conf);
	return clash == NULL ? 0 : -1;
}

/* The service that the request names, from the store.  NULL: the request is done. */
struct stored_service *
ctl_versions_copy(struct ctl_request *r, const struct facts *f, const char *name)
{
	const struct stored_service *s;

	if (check_source(r, f, name) < 0)
		return NULL;
	s = version_store_find(f->store, name);
	if (s == NULL)
		ctl_target_refuse(r, f, name);
	return s == NULL ? NULL : stored_service_copy(s);
}

/* Does the request say which generation it has seen, and is it another one by now?  */
static int
check_generation(struct ctl_request *r, const struct stored_service *s)
{
	const char *text = ctl_option(r, "generation", 0);
	uint32_t generation;

	if (text == NULL)
		return 0;
	if (text_number(text, strlen(text), UINT32_MAX, &generation) && generation == s->generation)
		return 0;
	ctl_done(r, CTL_FAILED, "look at it again, and repeat the command",
		 "another command was faster: the generation of \"%s\" is %llu, not %s", s->name,
		 (unsigned long long)s->generation, text);
	return -1;
}

/* At least one, unless it is 0. */
static int64_t
whole_seconds(int64_t ns)
{
	return (ns + CLK_S - 1) / CLK_S;
}

/* Note what is not active any more, and remove what is not to be kept. */
static void
collect(const struct facts *f, struct stored_service *s)
{
	const struct autoscaler_conf *conf = &services_settings(f->services)->autoscaler;
	const struct model_retention retention = {
		.since_create_s = whole_seconds(conf->retain_since_create_time),
		.since_active_s = whole_seconds(conf->retain_since_last_active_time),
		.least = conf->min_non_active_revisions,
		.most = conf->max_non_active_revisions};
	int64_t now = now_s();
	size_t n;

	model_note_activity(s, now);
	n = model_collect(s, &retention, now);
	if (n > 0)
		log_info(NULL, "old revisions removed", "service=%s revisions=%zu", s->name, n);
}

/* What was asked for ends a rollout that it gets in the way of. */
static void
note_by_hand(const struct ctl_request *r, const struct facts *f, struct stored_service *s)
{
	bool was_active = rollout_is_active(s->rollout);

	if (strcmp(ctl_asked(r)->command, "rollout") == 0)
		return;
	model_by_hand(s, version_store_find(f->store, s->name), ctl_asked(r)->command, now_s());
	if (was_active && !rollout_is_active(s->rollout))
		log_warn(NULL, "rollout ended: a command has set the percents",
			 "service=%s revision=%s at_percent=%u command=%s", s->name, s->rollout->to,
			 rollout_percent(s->rollout), ctl_asked(r)->command);
}

bool
ctl_versions_commit(struct ctl_request *r, const struct facts *f, struct stored_service *s)
{
	struct err e = {0};

	note_by_hand(r, f, s);
	collect(f, s);
	if (check_service(r, f, s) < 0) {
		stored_service_free(&s);
		return false;
	}
	if (commit_asked(r, f, &s, &e) < 0) {
		ctl_versions_refuse(r, &e);
		return false;
	}
	return true;
}

/* --- deploy --- */

/* The only service of the text, and (if revision is not NULL) its only revision.  NULL: the request
 * is done. */
static struct conf_section *
parse_template(struct ctl_request *r, const char *name, struct conf_section **root)
{
	const char *text = ctl_asked(r)->text;
	struct settings_errors errors = {NULL, 0};
	struct conf_section *service;

	*root = text == NULL ? NULL : document_parse(name, text, strlen(text), &errors);
	if (*root == NULL) {
		refuse_mistakes(r, &errors);
		return NULL;
	}
	settings_errors_free(&errors);
	service = conf_section_at(*root, IN_SERVICE, 0);
	if (service != NULL && conf_section_count(*root, IN_SERVICE) == 1 &&
	    conf_section_count(service, IN_REVISION) == 1)
		return service;
	ctl_done(r, CTL_USAGE, NULL, "expected one service with one revision");
	conf_free(root);
	return NULL;
}

static int
read_percent(struct ctl_request *r, int *percent)
{
	const char *text = ctl_option(r, "percent", 0);
	uint32_t n;

	*percent = MODEL_ALL;
	if (text == NULL)
		return 0;
	if (strcmp(text, "keep") == 0) {
		*percent = MODEL_KEEP;
		return 0;
	}
	if (!text_number(text, strlen(text), 100, &n)) {
		ctl_done(r, CTL_USAGE, NULL, "expected a percent of 0 to 100, got \"%s\"", text);
		return -1;
	}
	*percent = (int)n;
	return 0;
}

static const char *
rollout_note(const struct stored_service *s)
{
	return s->has_replaced_rollout ? "; this has ended the rollout that was under way" : "";
}

/* `made`, `made_service`: a moment ago, to be tried. */
static void
report_deploy(struct ctl_request *r, const struct stored_service *s, const char *revision,
	      bool is_new)
{
	const struct stored_revision *rev = stored_service_find(s, revision);
	struct jput *j;

	if (rev == NULL) {
		ctl_done(r, CTL_FAILED, NULL, "%s/%s is not kept", s->name, revision);
		return;
	}
	j = ctl_line(r, "deployed");
	jput_string(j, "service", s->name);
	jput_string(j, "revision", revision);
	jput_bool(j, "new", is_new);
	jput_bool(j, "new_service", s->generation == 1 || ctl_option(r, "made_service", 0) != NULL);
	jput_u64(j, "generation", s->generation);
	jput_u64(j, "percent", rev->percent);
	jput_u64(j, "latest_percent", rev->latest);
	jput_string_if(j, "tag", rev->tag);
	ctl_line_end(r);
	ctl_done(r, CTL_OK, NULL, "%s/%s %s and gets %u%% of the traffic%s%s%s", s->name, revision,
		 is_new ? "is made" : "has this template already", rev->percent,
		 rev->tag == NULL ? "" : ", with the tag ", rev->tag == NULL ? "" : rev->tag,
		 rollout_note(s));
}

/* Change s as asked; the name of the revision, the caller's, or NULL: the request is done. */
static char *
deploy_into(struct ctl_request *r, const struct conf_section *service, struct stored_service *s,
	    bool *is_new)
{
	struct strbuf service_body, body;
	struct model_deploy d = {.revision = ctl_option(r, "revision", 0),
				 .tag = ctl_option(r, "tag", 0),
				 .now_s = now_s()};
	struct stored_revision *rev = NULL;
	struct err e = {0};

	strbuf_init(&service_body, 0);
	strbuf_init(&body, 0);
	document_put_service_body(service, &service_body);
	document_put_revision_body(conf_section_at(service, IN_REVISION, 0), &body);
	d.service_body = service_body.len == 0 && s->n > 0 ? NULL : strbuf_str(&service_body);
	d.body = strbuf_str(&body);
	if (read_percent(r, &d.percent) == 0) {
		rev = model_deploy(s, &d, is_new, &e);
		if (rev == NULL) {
			ctl_versions_refuse(r, &e);
		} else {
			rev->is_tried = ctl_option(r, "try", 0) != NULL;
			rev->is_deployed = true;
			rev->inactive_s = 0; /* the next command keeps it as if it were new */
		}
	}
	strbuf_fini(&service_body);
	strbuf_fini(&body);
	return rev == NULL ? NULL : xstrdup(rev->name);
}

/* Has the template what a person forgets first?  -1: the request is done. */
static int
check_template(struct ctl_request *r, const char *name, const struct conf_section *service,
	       bool is_new)
{
	const struct conf_section *rev = conf_section_at(service, IN_REVISION, 0);

	if (is_new && conf_find(service, "hosts") == NULL) {
		ctl_done(r, CTL_FAILED, "add --host HOST",
			 "the service \"%s\" is new: expected a host, got none", name);
		return -1;
	}
	if (conf_find(rev, "command") == NULL && conf_find(rev, "addresses") == NULL) {
		ctl_done(r, CTL_FAILED, "activatorctl deploy --help has examples",
			 "expected a command behind --, or --addresses, got neither");
		return -1;
	}
	return 0;
}

static bool
deploy(struct ctl_request *r, const struct facts *f, const char *name)
{
	const struct stored_service *old;
	struct conf_section *root = NULL, *service;
	struct stored_service *s;
	char *revision;
	bool is_new = false, is_done = false;

	if (check_source(r, f, name) < 0 || (service = parse_template(r, name, &root)) == NULL)
		return false;
	old = version_store_find(f->store, name);
	s = old == NULL ? stored_service_new(name) : stored_service_copy(old);
	revision = check_template(r, name, service, old == NULL) < 0 || check_generation(r, s) < 0
			   ? NULL
			   : deploy_into(r, service, s, &is_new);
	if (revision != NULL)
		is_done = ctl_versions_commit(r, f, s);
	else
		stored_service_free(&s);
	if (is_done)
		report_deploy(r, version_store_find(f->store, name), revision,
			      is_new || ctl_option(r, "made", 0) != NULL);
	free(revision);
	conf_free(&root);
	return is_done;
}

/* --- traffic --- */

/* Split "REVISION=REST"; the revision is the caller's. */
static char *
split(const char *text, const char **rest)
{
	const char *at = strrchr(text, '=');

	if (at == NULL)
		return NULL;
	*rest = at + 1;
	return xstrndup(text, (size_t)(at - text));
}

static int
set_percents(struct ctl_request *r, struct stored_service *s, struct err *e)
{
	struct model_traffic v[TRAFFIC_MAX];
	char *names[TRAFFIC_MAX] = {NULL};
	const char *text, *rest = NULL;
	size_t n = 0, i;
	int rc = 0;

	for (; rc == 0 && n < TRAFFIC_MAX && (text = ctl_option(r, "traffic", n)) != NULL; n++) {
		names[n] = split(text, &rest);
		v[n] = (struct model_traffic){.revision = names[n]};
		if (names[n] == NULL || !text_number(rest, strcspn(rest, "%"), 100, &v[n].percent))
			rc = err_set(e, 0, "expected REVISION=PERCENT, got \"%s\"", text);
	}
	if (rc == 0 && n > 0)
		rc = model_set_traffic(s, v, n, e);
	for (i = 0; i < n; i++)
		free(names[i]);
	return rc;
}

static int
set_tags(struct ctl_request *r, struct stored_service *s, struct err *e)
{
	const char *text, *tag = NULL;
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && (text = ctl_option(r, "untag", i)) != NULL; i++)
		rc = model_set_tag(s, NULL, text, e);
	for (i = 0; rc == 0 && (text = ctl_option(r, "tag", i)) != NULL; i++) {
		char *revision = split(text, &tag);

		rc = revision == NULL || *tag == '\0'
			     ? err_set(e, 0, "expected REVISION=TAG, got \"%s\"", text)
			     : model_set_tag(s, revision, tag, e);
		free(revision);
	}
	return rc;
}

/* "shop-00001 90%, shop-00002 10% (next)" */
static void
report_traffic(struct ctl_request *r, const struct stored_service *s)
{
	struct strbuf text;
	size_t i;

	strbuf_init(&text, 0);
	for (i = 0; i < s->n; i++) {
		const struct stored_revision *rev = &s->v[i];

		if (!stored_revision_is_active(rev))
			continue;
		strbuf_addf(&text, "%s%s %u%%", text.len > 0 ? ", " : "", rev->name, rev->percent);
		if (rev->latest > 0 || rev->tag != NULL)
			strbuf_addf(&text, " (%s%s%s)", rev->latest > 0 ? "@latest" : "",
				    rev->latest > 0 && rev->tag != NULL ? ", " : "",
				    rev->tag == NULL ? "" : rev->tag);
	}
	ctl_done(r, CTL_OK, NULL, "%s: %s%s", s->name, strbuf_str(&text), rollout_note(s));
	strbuf_fini(&text);
}

/* Change a copy by `change`, and commit it.  annotated: what it is for a service of annotations;
 * NULL: it is refused. */
static bool
change_route(struct ctl_request *r, const struct facts *f, const char *name, ctl_change_fn *change,
	     ctl_change_fn *annotated)
{
	const struct service_conf *service = services_find(f->services, name);
	struct stored_service *s;
	struct err e = {0};

	if (annotated != NULL && service != NULL &&
	    services_source_of(f->services, service) == SERVICES_FOUND) {
		ctl_annotated_change(r, service, annotated);
		return false;
	}
	if (annotated != NULL && service != NULL && service->knative != NULL) {
		ctl_knative_change(r, service, change);
		return false;
	}
	s = ctl_versions_copy(r, f, name);
	if (s == NULL)
		return false;
	if (check_generation(r, s) < 0) {
		stored_service_free(&s);
		return false;
	}
	if (change(r, s, &e) < 0) {
		stored_service_free(&s);
		ctl_versions_refuse(r, &e);
		return false;
	}
	if (!ctl_versions_commit(r, f, s))
		return false;
	report_traffic(r, version_store_find(f->store, name));
	return true;
}

static int
set_route(struct ctl_request *r, struct stored_service *s, struct err *e)
{
	return set_percents(r, s, e) < 0 ? -1 : set_tags(r, s, e);
}

/* To the revision that is named; where a rollout is under way, to what was before it; else to the
 * one made before that which has most of the traffic, and that no rollout has rejected. */
static int
roll_back(struct ctl_request *r, struct stored_service *s, struct err *e)
{
	const char *to = ctl_option(r, "to", 0);
	struct model_traffic one = {.revision = to, .percent = 100};
	size_t most = 0, i;

	if (to == NULL && rollout_is_active(s->rollout)) {
		model_rollout_end(s, ROLLOUT_ABORTED, "an operator has rolled it back", now_s());
		return 0;
	}
	for (i = 0; i < s->n; i++)
		if (s->v[i].percent > s->v[most].percent)
			most = i;
	for (i = most; i > 0 && s->v[i - 1].rejected != NULL; i--)
		;
	if (to == NULL && i == 0)
		return err_set(e, 0, "\"%s\" has no revision before %s%s", s->name,
			       s->n == 0 ? "any" : s->v[most].name,
			       most == 0 ? "" : " that no rollout has rejected");
	if (to == NULL)
		one.revision = s->v[i - 1].name;
	return model_set_traffic(s, &one, 1, e);
}

static int
delete_one(struct ctl_request *r, struct stored_service *s, struct err *e)
{
	return model_delete_revision(s, strchr(ctl_asked(r)->name, '/') + 1, e);
}

static bool delete (struct ctl_request *r, const struct facts *f, const char *name)
{
	const struct stored_service *s;
	struct err e = {0};

	if (check_source(r, f, name) < 0)
		return false;
	s = version_store_find(f->store, name);
	if (s == NULL)
		ctl_target_refuse(r, f, name);
	if (s == NULL || check_generation(r, s) < 0)
		return false;
	if (commit_remove(r, f, name, &e) < 0) {
		ctl_versions_refuse(r, &e);
		return false;
	}
	ctl_done(r, CTL_OK, NULL, "%s is deleted: its instances end once they are idle", name);
	return true;
}

/* --- apply --- */

/* Give a service the revisions and the route of a section.  -1 with err. */
static int
merge_revisions(struct stored_service *s, const struct conf_section *section, struct err *e)
{
	const struct conf_section *rev;
	struct strbuf body;
	bool is_new;
	size_t i;
	int rc = 0;

	strbuf_init(&body, 0);
	for (i = 0; rc == 0 && (rev = conf_section_at(section, IN_REVISION, i)) != NULL; i++) {
		struct model_deploy d = {.revision = rev->title, .percent = 0, .now_s = now_s()};

		strbuf_clear(&body);
		document_put_revision_body(rev, &body);
		d.body = strbuf_str(&body);
		if (model_deploy(s, &d, &is_new, e) == NULL)
			rc = -1;
	}
	strbuf_fini(&body);
	if (rc == 0 && i == 0)
		rc = err_set(e, 0, "the service \"%s\" has no revision", s->name);
	return rc;
}

static const char *
text_of(const struct conf_section *s, const char *key)
{
	const struct conf_value *v = conf_find(s, key);

	return v == NULL || v->n == 0 ? NULL : v->texts[0];
}

static int
merge_route(struct stored_service *s, const struct conf_section *section, struct err *e)
{
	size_t n = conf_section_count(section, IN_TRAFFIC), i;
	struct model_traffic only = {.percent = 100}, *v;
	const struct conf_section *t;
	const char *text;
	int rc = 0;

	if (n == 0) {
		only.revision = conf_section_at(section, IN_REVISION, 0)->title;
		return model_set_traffic(s, &only, 1, e);
	}
	v = xcalloc(n, sizeof *v);
	for (i = 0; i < n; i++) {
		t = conf_section_at(section, IN_TRAFFIC, i);
		v[i].revision = t->title;
		text = text_of(t, "percent");
		if (text != NULL && !text_number(text, strcspn(text, "%"), 100, &v[i].percent))
			rc = err_set(e, 0, "expected a percent, got \"%s\"", text);
		text = text_of(t, "latest");
		if (text != NULL && !text_number(text, strcspn(text, "%"), 100, &v[i].latest))
			rc = err_set(e, 0, "latest: expected a percent, got \"%s\"", text);
	}
	if (rc == 0)
		rc = model_set_traffic(s, v, n, e);
	free(v);
	for (i = 0; rc == 0 && i < s->n; i++) {
		free(s->v[i].tag);
		s->v[i].tag = NULL;
	}
	for (i = 0; rc == 0 && i < n; i++) {
		t = conf_section_at(section, IN_TRAFFIC, i);
		if ((text = text_of(t, "tag")) != NULL)
			rc = model_set_tag(s, t->title, text, e);
	}
	return rc;
}

/* The service as it is to be; NULL: the request is done. */
static struct stored_service *
merge(struct ctl_request *r, const struct facts *f, const struct conf_section *section)
{
	const struct stored_service *old;
	struct stored_service *s;
	struct strbuf body;
	struct err e = {0};

	if (check_source(r, f, section->title) < 0)
		return NULL;
	old = version_store_find(f->store, section->title);
	s = old == NULL ? stored_service_new(section->title) : stored_service_copy(old);
	strbuf_init(&body, 0);
	document_put_service_body(section, &body);
	text_replace(&s->body, strbuf_str(&body));
	strbuf_fini(&body);
	if (merge_revisions(s, section, &e) < 0 || merge_route(s, section, &e) < 0) {
		ctl_versions_refuse(r, &e);
		stored_service_free(&s);
		return NULL;
	}
	collect(f, s);
	if (check_service(r, f, s) < 0)
		stored_service_free(&s);
	return s;
}

static bool
is_equal(const struct stored_service *a, const struct stored_service *b)
{
	struct strbuf x, y;
	bool is;

	if (a == NULL)
		return false;
	strbuf_init(&x, 0);
	strbuf_init(&y, 0);
	document_put_conf(a, false, &x);
	document_put_conf(b, false, &y);
	is = strcmp(strbuf_str(&x), strbuf_str(&y)) == 0;
	strbuf_fini(&x);
	strbuf_fini(&y);
	return is;
}

static void
put_applied(struct ctl_request *r, const char *name, bool is_done, const char *what)
{
	struct jput *j = ctl_line(r, "result");

	jput_string(j, "program", name);
	jput_bool(j, "done", is_done);
	jput_string(j, "text", what);
	ctl_line_end(r);
}

/* "would be changed: shop-00001 from 100% to 90%, …"; the caller's. */
static char *
describe_change(const struct stored_service *old, const struct stored_service *new, bool is_dry)
{
	struct strbuf text;

	strbuf_init(&text, 0);
	strbuf_addf(&text, "%s %s: ", is_dry ? "would be" : "is", old == NULL ? "made" : "changed");
	change_put(old, new, &text);
	return strbuf_take(&text);
}

static int
put_by_hand(const struct ctl_request *r, const struct facts *f, struct stored_service **s,
	    struct err *e)
{
	note_by_hand(r, f, *s);
	return commit_asked(r, f, s, e);
}

/* Commit what differs; the array's services are taken over.  Returns how many were. */
static size_t
apply_all(struct ctl_request *r, const struct facts *f, struct stored_service **v, size_t n,
	  bool is_dry)
{
	struct err e = {0};
	size_t i, changed = 0;

	for (i = 0; i < n; i++) {
		const struct stored_service *old = version_store_find(f->store, v[i]->name);
		char *name = xstrdup(v[i]->name), *change = describe_change(old, v[i], is_dry);

		if (is_equal(old, v[i])) {
			put_applied(r, name, true, "is like that already");
			stored_service_free(&v[i]);
		} else if (is_dry) {
			put_applied(r, name, true, change);
			stored_service_free(&v[i]);
		} else if (put_by_hand(r, f, &v[i], &e) == 0) {
			put_applied(r, name, true, change);
			changed++;
		} else {
			log_error(NULL, "cannot store a service", "service=%s err=%s", name,
				  e.text);
			put_applied(r, name, false, e.text);
		}
		free(change);
		free(name);
	}
	if (e.text[0] != '\0')
		ctl_versions_refuse(r, &e);
	else
		ctl_done(r, CTL_OK, NULL, "%zu of %zu service%s changed%s", changed, n,
			 n == 1 ? "" : "s", is_dry ? " (dry run)" : "");
	return changed;
}

/* Does the i-th service have no host and path of an earlier one?  False: the request is done. */
static bool
check_beside(struct ctl_request *r, const struct facts *f, struct stored_service *const *v,
	     size_t i)
{
	const struct settings *base = services_settings(f->services);
	struct settings_errors errors = {NULL, 0};
	struct service_conf *one = document_load(v[i], base, &errors), *other;
	bool is_clash = false;
	size_t k;

	for (k = 0; k < i && !is_clash; k++) {
		other = document_load(v[k], base, &errors);
		struct claim_search search = {.other = other};

		is_clash = settings_each_claim(one, is_taken, &search);
		settings_service_free(&other);
		if (is_clash)
			ctl_done(r, CTL_FAILED, NULL,
				 "\"%s\" and \"%s\" have the same host and path", v[k]->name,
				 v[i]->name);
	}
	settings_service_free(&one);
	settings_errors_free(&errors);
	return !is_clash;
}

static bool
apply(struct ctl_request *r, const struct facts *f)
{
	const char *text = ctl_asked(r)->text;
	const char *file = ctl_option(r, "file", 0);
	struct settings_errors errors = {NULL, 0};
	struct conf_section *root = text == NULL ? NULL
						 : document_parse(file == NULL ? "-" : file, text,
								  strlen(text), &errors);
	size_t n = root == NULL ? 0 : conf_section_count(root, IN_SERVICE), i;
	struct stored_service **v = xcalloc(n + 1, sizeof *v);
	bool is_ok = root != NULL;
	size_t changed = 0;

	if (root == NULL)
		refuse_mistakes(r, &errors);
	else
		settings_errors_free(&errors);
	for (i = 0; is_ok && i < n; i++) {
		v[i] = merge(r, f, conf_section_at(root, IN_SERVICE, i));
		is_ok = v[i] != NULL && check_beside(r, f, v, i);
	}
	if (is_ok)
		changed = apply_all(r, f, v, n, ctl_option(r, "dry_run", 0) != NULL);
	for (i = 0; i < n; i++)
		stored_service_free(&v[i]);
	free(v);
	conf_free(&root);
	return changed > 0;
}

/* --- all of them --- */

bool
ctl_versions_change(struct ctl_request *r, const struct facts *f)
{
	const struct ctl_asked *asked = ctl_asked(r);
	const char *slash = asked->name == NULL ? NULL : strchr(asked->name, '/');
	char *name;
	bool is_changed = false;

	if (strcmp(asked->command, "apply") == 0)
		return apply(r, f);
	if (asked->name == NULL || asked->name[0] == '\0' || asked->name[0] == '/') {
		ctl_done(r, CTL_USAGE, NULL, "expected the name of a service");
		return false;
	}
	if (slash != NULL && strcmp(asked->command, "delete") != 0) {
		ctl_done(r, CTL_USAGE, NULL,
			 "expected the name of a service, got that of a revision");
		return false;
	}
	name = slash == NULL ? xstrdup(asked->name)
			     : xstrndup(asked->name, (size_t)(slash - asked->name));
	if (!form_is_name(name))
		ctl_done(
			r, CTL_USAGE, NULL,
			"expected a name of at most 63 letters, digits, \"-\", \"_\" and \".\", got "
			"\"%s\"",
			name);
	else if (strcmp(asked->command, "deploy") == 0)
		is_changed = deploy(r, f, name);
	else if (strcmp(asked->command, "traffic") == 0)
		is_changed = change_route(r, f, name, set_route, set_route);
	else if (strcmp(asked->command, "rollback") == 0)
		is_changed = change_route(r, f, name, roll_back, ctl_annotated_roll_back);
	else if (slash != NULL)
		is_changed = change_route(r, f, name, delete_one, NULL);
	else
		is_changed = delete (r, f, name);
	if (is_changed)
		log_info(NULL, "stored service changed", "command=%s service=%s", asked->command,
			 asked->name);
	free(name);
	return is_changed;
}
