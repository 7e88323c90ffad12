#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import_impl.h"
#include "common/settings_value.h"
#include "common/text.h"

#define PREFIX "activator.dev/"
#define REVISION "v1"

/* --- annotations --- */

void
import_put_word(struct strbuf *out, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:,=@%+-";

	if (text[0] != '\0' && text[strspn(text, plain)] == '\0') {
		strbuf_adds(out, text);
		return;
	}
	strbuf_adds(out, "'");
	for (; *text != '\0'; text++)
		if (*text == '\'')
			strbuf_adds(out, "'\\''");
		else
			strbuf_add(out, text, 1);
	strbuf_adds(out, "'");
}

/* Of one host the name is shorter. */
static const char *
annotation_of(const struct import_setting *s)
{
	return strcmp(s->key->name, "hosts") == 0 && s->texts.n == 1 ? "host" : s->key->name;
}

static void
put_annotation(struct strbuf *out, const struct import_setting *s)
{
	struct strbuf word;
	size_t i;

	strbuf_init(&word, 0);
	strbuf_addf(&word, PREFIX "%s%s%s=", s->section == NULL ? "" : s->section,
		    s->section == NULL ? "" : ".", annotation_of(s));
	for (i = 0; i < s->texts.n; i++)
		strbuf_addf(&word, "%s%s", i == 0 ? "" : ",", s->texts.v[i]);
	strbuf_adds(out, " \\\n    ");
	import_put_word(out, strbuf_str(&word));
	strbuf_fini(&word);
}

static void
put_comment(struct strbuf *out, const struct import_service *s)
{
	char *title = s->ns == NULL
			      ? xasprintf("%s (%s)", s->name, s->from->origin)
			      : xasprintf("%s %s/%s (%s:%u)", s->from->kind, s->ns, s->from->name,
					  s->from->origin, kube_node_line(s->from->root));

	text_make_printable(title);
	strbuf_addf(out, "# %s\n", title);
	free(title);
}

/* The lines of text, each behind "# ". */
static void
put_commented(struct strbuf *out, const char *text)
{
	size_t n;

	for (; *text != '\0'; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		strbuf_addf(out, "# %.*s\n", (int)n, text);
	}
}

static void
put_command(struct strbuf *out, const struct import_service *s)
{
	struct strbuf command;
	size_t i;

	strbuf_init(&command, 0);
	strbuf_adds(&command, "kubectl -n ");
	import_put_word(&command, s->ns);
	strbuf_adds(&command, " annotate --overwrite ");
	import_put_word(&command, s->annotated);
	for (i = 0; i < s->n; i++)
		put_annotation(&command, &s->v[i]);
	strbuf_adds(&command, "\n");
	if (s->is_partial)
		put_commented(out, strbuf_str(&command));
	else
		strbuf_adds(out, strbuf_str(&command));
	strbuf_fini(&command);
}

/* --- the conf file --- */

/* Its values are numbers, with units or without. */
static bool
is_bare(const struct key *k)
{
	return k->type == KEY_UINT || k->type == KEY_NUMBER || k->type == KEY_DURATION ||
	       k->type == KEY_PERCENT;
}

static void
put_key(struct strbuf *out, const char *indent, const char *name, const struct key *k,
	const struct str_list *texts)
{
	size_t i;

	strbuf_addf(out, "%s%s = %s", indent, name, value_is_list(k) ? "{" : "");
	for (i = 0; i < texts->n; i++) {
		strbuf_adds(out, i == 0 ? "" : ", ");
		if (is_bare(k))
			strbuf_adds(out, texts->v[i]);
		else
			value_format_string(texts->v[i], out);
	}
	strbuf_adds(out, value_is_list(k) ? "}\n" : "\n");
}

static bool
is_of_revision(const struct import_setting *s)
{
	return s->section == NULL ? (s->key->where & IN_REVISION) != 0
				  : strncmp(s->section, "schedule.", 9) == 0;
}

/* The sections of rules or of schedules, which stand together in s->v. */
static void
put_sections(struct strbuf *out, const char *indent, const struct import_service *s,
	     bool of_revision)
{
	const char *open = NULL, *dot;
	char *inner = xasprintf("%s    ", indent);
	size_t i;

	for (i = 0; i < s->n; i++) {
		const struct import_setting *at = &s->v[i];

		if (at->section == NULL || is_of_revision(at) != of_revision)
			continue;
		if (open == NULL || strcmp(open, at->section) != 0) {
			if (open != NULL)
				strbuf_addf(out, "%s}\n", indent);
			open = at->section;
			dot = strchr(open, '.');
			strbuf_addf(out, "%s%.*s ", indent, (int)(dot - open), open);
			value_format_string(dot + 1, out);
			strbuf_adds(out, " {\n");
		}
		put_key(out, inner, at->key->name, at->key, &at->texts);
	}
	if (open != NULL)
		strbuf_addf(out, "%s}\n", indent);
	free(inner);
}

static void
put_keys(struct strbuf *out, const char *indent, const struct import_service *s, bool of_revision)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].section == NULL && is_of_revision(&s->v[i]) == of_revision)
			put_key(out, indent, s->v[i].key->name, s->v[i].key, &s->v[i].texts);
}

static void
put_workload(struct strbuf *out, const struct import_service *s)
{
	bool is_deployment = strchr(s->workload, '/') == strrchr(s->workload, '/');
	const char *name = is_deployment ? "deployment" : "workload";
	char *v[] = {s->workload};
	const struct str_list texts = {.v = v, .n = 1};

	put_key(out, "        ", name, settings_key_find(name, IN_REVISION), &texts);
}

void
import_put_service(struct strbuf *out, const struct import_service *s)
{
	strbuf_adds(out, "service ");
	value_format_string(s->name, out);
	strbuf_adds(out, " {\n");
	put_keys(out, "    ", s, false);
	put_sections(out, "    ", s, false);
	strbuf_adds(out, "    revision \"" REVISION "\" {\n");
	if (s->workload != NULL)
		put_workload(out, s);
	put_keys(out, "        ", s, true);
	put_sections(out, "        ", s, true);
	strbuf_adds(out, "    }\n}\n");
}

static void
put_service(struct strbuf *out, const struct import_service *s)
{
	struct strbuf text;

	strbuf_init(&text, 0);
	import_put_service(&text, s);
	if (s->is_partial || (s->ns != NULL && s->workload == NULL))
		put_commented(out, strbuf_str(&text));
	else
		strbuf_adds(out, strbuf_str(&text));
	strbuf_fini(&text);
}

/* --- all --- */

static void
write_annotations(const struct import *imp, struct strbuf *out)
{
	size_t i;

	for (i = 0; i < imp->services_n; i++) {
		const struct import_service *s = imp->services[i];

		strbuf_adds(out, i == 0 ? "" : "\n");
		put_comment(out, s);
		if (s->ns == NULL) /* of a Compose file, which has no annotations */
			put_service(out, s);
		else if (s->annotated != NULL)
			put_command(out, s);
		if (s->after.len > 0) {
			strbuf_adds(out, "# Once requests go to the activator:\n");
			put_commented(out, strbuf_str(&s->after));
		}
	}
}

static void
write_conf(const struct import *imp, struct strbuf *out)
{
	size_t i;

	for (i = 0; i < imp->services_n; i++) {
		const struct import_service *s = imp->services[i];

		strbuf_adds(out, i == 0 ? "" : "\n");
		put_comment(out, s);
		put_service(out, s);
		if (s->after.len > 0) {
			strbuf_adds(out, "# Once requests go to the activator:\n");
			put_commented(out, strbuf_str(&s->after));
		}
	}
}

void
import_write(const struct import *imp, struct strbuf *out)
{
	if (imp->form == IMPORT_CONF)
		write_conf(imp, out);
	else
		write_annotations(imp, out);
}
