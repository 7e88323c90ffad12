#include "autoscaler/ctl_export.h"

#include <string.h>

#include "autoscaler/ctl_server.h"
#include "autoscaler/facts.h"
#include "autoscaler/versions/document.h"
#include "autoscaler/versions/store.h"
#include "common/jput.h"
#include "common/strbuf.h"

void
ctl_export(struct ctl_request *r, const struct facts *f)
{
	const char *name = ctl_asked(r)->name;
	size_t n = f->store == NULL ? 0 : version_store_n(f->store), i, found = 0;

	for (i = 0; i < n; i++) {
		const struct stored_service *s = version_store_at(f->store, i);
		struct strbuf text;
		struct jput *j;

		if (name != NULL && strcmp(s->name, name) != 0)
			continue;
		found++;
		strbuf_init(&text, 0);
		document_put_conf(s, false, &text);
		j = ctl_line(r, "export");
		jput_string(j, "name", s->name);
		jput_u64(j, "generation", s->generation);
		jput_string(j, "text", strbuf_str(&text));
		ctl_line_end(r);
		strbuf_fini(&text);
	}
	if (name != NULL && found == 0)
		ctl_done(r, CTL_NOT_FOUND, "only services that activatorctl made are exported",
			 "there is no stored service \"%s\"", name);
	else
		ctl_done(r, CTL_OK, NULL, "%s", "");
}
