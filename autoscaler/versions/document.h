/* document - a service of the store as the text of conf files, and back.  What the store keeps,
 * what `export` prints and what `deploy` and `apply` send has one form: that of a conf file.
 * Pure.  Thread: any. */
#ifndef AUTOSCALER_VERSIONS_DOCUMENT_H
#define AUTOSCALER_VERSIONS_DOCUMENT_H

#include "autoscaler/versions/model.h"
#include "common/settings.h"

struct conf_section;
struct strbuf;

/* The keys and sections of a service that are no revision's and no traffic's; those of a revision.
 * The order is that of the keys' table, so that equal templates have equal texts. */
void document_put_service_body(const struct conf_section *service, struct strbuf *);
void document_put_revision_body(const struct conf_section *revision, struct strbuf *);

/* The document that commits a service: body and route; and the one of a revision. */
void document_put_service(const struct stored_service *, struct strbuf *);
void document_put_revision(const struct stored_service *, const struct stored_revision *,
			   struct strbuf *);
/* Read them.  file: for messages.  The service's revisions get names, percents and tags, but no
 * body.  -1 with err. */
NODISCARD int document_read_service(const char *file, const char *text, size_t n,
				    struct stored_service **, struct err *);
NODISCARD int document_read_revision(const char *file, const char *text, size_t n,
				     struct stored_revision *, struct err *);

/* The whole service as a section of a conf file: with all revisions, or (active alone) as it takes
 * effect. */
void document_put_conf(const struct stored_service *, bool is_active_only, struct strbuf *);
/* The settings of a service as it takes effect, the caller's; NULL: errors has a line for each
 * mistake. */
NODISCARD struct service_conf *document_load(const struct stored_service *,
					     const struct settings *base,
					     struct settings_errors *errors);

/* Parse the text of a conf file that has services and nothing else.  NULL: as before. */
NODISCARD struct conf_section *document_parse(const char *file, const char *text, size_t n,
					      struct settings_errors *errors);

#endif
