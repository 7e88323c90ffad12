/* What each key takes is checked when it is set.  What keys mean together, and what services may
 * not share, the conf file's own checks know: they are asked about the sections that would be
 * written. */
#include <stdlib.h>
#include <string.h>

#include "autoscaler/import/import_impl.h"
#include "common/settings.h"

#define FILE_NAME "import"

/* "import:12: TEXT" or "import:12: hosts: TEXT": behind the line. */
static const char *
text_of(const char *line)
{
	const char *at = strchr(line + strlen(FILE_NAME) + 1, ':');

	return at == NULL ? line : at + 2;
}

/* How many mistakes the text has; they are said about the object. */
static size_t
check(struct import *imp, const struct import_object *about, const struct strbuf *text)
{
	struct settings_errors errors;
	struct settings *s = settings_load_bytes(FILE_NAME, strbuf_str(text), text->len, &errors);
	size_t n = errors.n, i;

	for (i = 0; i < n; i++)
		import_fail(imp, about, about->root, "", "the result is no service: %s",
			    text_of(errors.lines[i]));
	settings_errors_free(&errors);
	settings_free(&s);
	return n;
}

static void
begin(struct strbuf *text, bool on_cluster)
{
	strbuf_init(text, 0);
	strbuf_addf(text, "autoscaler { driver = \"%s\" }\n",
		    on_cluster ? "kubernetes" : "process");
}

/* A copy whose Deployment is made up where it is unknown: a Service bears the annotations. */
static void
put(struct strbuf *text, const struct import_service *s)
{
	struct import_service known = *s;
	char *unknown = xasprintf("unknown/%s", s->name);

	if (s->ns != NULL && s->workload == NULL)
		known.workload = unknown;
	import_put_service(text, &known);
	free(unknown);
}

static void
check_together(struct import *imp, bool on_cluster)
{
	const struct import_service *last = NULL;
	struct strbuf text;
	size_t i;

	begin(&text, on_cluster);
	for (i = 0; i < imp->services_n; i++)
		if ((imp->services[i]->ns != NULL) == on_cluster && !imp->services[i]->is_partial) {
			last = imp->services[i];
			put(&text, last);
		}
	if (last != NULL)
		(void)check(imp, last->from, &text);
	strbuf_fini(&text);
}

void
import_check(struct import *imp)
{
	struct strbuf text;
	size_t i;

	for (i = 0; i < imp->services_n; i++) {
		struct import_service *s = imp->services[i];

		begin(&text, s->ns != NULL);
		put(&text, s);
		if (check(imp, s->from, &text) > 0)
			s->is_partial = true;
		strbuf_fini(&text);
	}
	check_together(imp, true);
	check_together(imp, false);
}
