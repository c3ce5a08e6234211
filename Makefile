# make run         install what it needs, build, start everything, show it
# make             build lovage and the example plugin
# make check       build with warnings as errors, run every test
# make help        list the targets
#
# make check SAN=address,undefined     make install DESTDIR=pkg PREFIX=/usr

NAME    ?= lovage
PREFIX  ?= /usr/local
CC      ?= cc
CFLAGS  ?= -O2 -g
comma   := ,
VARIANT := $(if $(SAN),$(subst $(comma),-,$(SAN)),$(if $(COV),cov,plain))
B       := build/$(VARIANT)$(if $(findstring clang,$(CC)),-clang)
VERSION := $(shell cat VERSION)

# civetweb has no pkg-config file in Debian 12.
PKGS    := libuv json-c hiredis librabbitmq libcurl libpq openssl zlib liblzma libzstd libpcre2-8 msgpack
SYSLIBS := -lcivetweb -lbz2 -ldl -lpthread -lm

DIRS    := base protocol store store/redis store/amqp store/pg store/rpc worker worker/llm api cli
obj      = $(patsubst %.c,$(B)/%.o,$(1))
LIBSRC  := $(filter-out cli/main.c,$(wildcard $(DIRS:%=%/*.c)))
LIB     := $(B)/lib$(NAME).a
MIGRATIONS := $(sort $(wildcard store/pg/migrations/*.sql))
SUPPORT := $(wildcard tests/support/*.c)
UNIT    := $(patsubst %.c,$(B)/%,$(wildcard $(DIRS:%=tests/unit/%/test_*.c)))
CONTRACT := $(patsubst %.c,$(B)/%,$(wildcard tests/contract/test_*.c))
RACE    := $(patsubst %.c,$(B)/%,$(wildcard tests/race/race_*.c))
OOM     := $(patsubst %.c,$(B)/%,$(wildcard tests/oom/oom_*.c))
BENCH   := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))
FUZZ    := $(wildcard tests/fuzz/fuzz_*.c)
# What of the api has no I/O, besides base and protocol.
FUZZAPI := $(addprefix api/,guard.c body_scan.c query.c check.c problems.c response.c)
# What of the store reads from the wire.
FUZZSTORE := $(addprefix store/amqp/,frame.c content.c table.c address.c link.c link_login.c link_read.c) \
            store/tls.c
PYTESTS := $(wildcard tests/*/test_*.py)
PLUGINS := $(patsubst %.c,$(B)/%.so,$(wildcard examples/*.c))
EXAMPLES := $(wildcard examples/*.c deploy/models.json)
TESTPLUGINS := $(patsubst %.c,$(B)/%.so,$(wildcard tests/interop/*.c tests/faults/*.c))
SRC     := $(wildcard $(DIRS:%=%/*.[ch]) include/lovage/*.h examples/*.c)
ALLSRC  := $(SRC) $(wildcard tests/*/*.[ch] tests/unit/*/*.[ch] tests/unit/*/*/*.[ch])

# What the caller sets is kept; what the code needs is appended.  Third-party
# headers come in as system headers: their warnings are not ours to mend.
PKGCFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKGLIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
override CPPFLAGS += -D_GNU_SOURCE -DLOVAGE_VERSION='"$(VERSION)"' -I. -Iinclude \
  $(if $(SAN)$(COV),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
override CFLAGS += -std=c11 -fno-common -fno-omit-frame-pointer -fPIE -fvisibility=hidden \
  -fstack-protector-strong \
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
  -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wcast-qual -Wundef \
  -Wvla -Walloca -Wformat=2 -Wimplicit-fallthrough $(if $(WERROR),-Werror) \
  $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) \
  $(if $(COV),-O0 --coverage) $(patsubst -I%,-isystem %,$(PKGCFLAGS))
override LDFLAGS += -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN)) $(if $(COV),--coverage)
override LDLIBS += $(PKGLIBS) $(SYSLIBS)

# A change of compiler or flags rebuilds what was built with others; -Werror
# makes no other objects.
FLAGS := $(filter-out -Werror,$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))
ifneq ($(FLAGS),$(file <$(B)/flags))
$(shell mkdir -p $(B))$(file >$(B)/flags,$(FLAGS))
endif

# For the targets that call make again: all cores, unless -j was given.
SUBMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/$(NAME) $(PLUGINS) ## build lovage and the example plugin

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Files as byte arrays: a string literal that long is not portable.
BYTES = od -An -v -tu1 $(1) | sed 's/[0-9][0-9]*/&,/g'
$(B)/models.c: deploy/models.json
	@mkdir -p $(@D)
	@{ echo '#include "protocol/llm_catalogue.h"'; \
	  echo 'const unsigned char llm_models_builtin[] = {'; \
	  $(call BYTES,$<); echo '0};'; } > $@
$(B)/migrations.c: $(MIGRATIONS)
	@mkdir -p $(@D)
	@{ echo '#include "store/pg/migrations.h"'; n=0; table=; \
	  for f in $^; do n=$$((n + 1)); echo "static const unsigned char sql_$$n[] = {"; \
	    $(call BYTES,$$f); echo '};'; \
	    table="$$table{\"$${f##*/}\", sql_$$n, sizeof(sql_$$n)}, "; done; \
	  echo "const struct migration migrations[] = {$$table{0}};"; } > $@
$(B)/migrations.o $(B)/models.o: %.o: %.c
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(call obj,$(LIBSRC)) $(B)/migrations.o $(B)/models.o
	@rm -f $@
	$(AR) rcs $@ $^

# The plugin API is the only set of symbols that the program exports.
$(B)/$(NAME): $(B)/cli/main.o $(LIB) include/lovage/exports.list
	$(CC) $(LDFLAGS) -Wl,--dynamic-list=include/lovage/exports.list -o $@ \
	  $(B)/cli/main.o -Wl,--whole-archive $(LIB) -Wl,--no-whole-archive $(LDLIBS)
$(B)/%.so: %.c include/lovage/task.h $(B)/flags
	@mkdir -p $(@D)
	$(CC) -Iinclude $(CFLAGS) -fPIC -shared -o $@ $<
# An archive: what a test does not use is not linked, nor what that would need.
$(B)/libsupport.a: $(call obj,$(SUPPORT))
	@rm -f $@
	$(AR) rcs $@ $^
$(UNIT) $(CONTRACT): $(B)/%: $(B)/%.o $(B)/libsupport.a $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcriterion
$(RACE): $(B)/%: $(B)/%.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BENCH): $(B)/%: $(B)/%.o $(LIB)
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(OOM): $(B)/%: $(B)/%.o $(B)/tests/oom/oom.o $(LIB)
	$(CC) $(LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc \
	  -Wl,--wrap=strdup,--wrap=strndup -o $@ $^ $(LDLIBS)

.PHONY: deps run check asan check-asan check-unit check-contract check-interop \
  interop-latest check-faults check-race check-tsan check-oom run-tests run-oom bench \
  faults
deps: ## install the Debian packages that are missing
	deploy/deps
run: ## start servers, api and worker, show an example; ONCE=1: and end
	deploy/deps build run
	$(SUBMAKE) all
	deploy/run $(if $(ONCE),--once) $(B)/$(NAME)
check: ## build with warnings as errors, run every test
	@$(SUBMAKE) WERROR=1 run-tests
asan check-asan: ## the same under ASan and UBSan
	@LOVAGE_TEST_SLOW=4 $(SUBMAKE) SAN=address,undefined WERROR=1 run-tests
run-tests: all $(TESTPLUGINS) $(UNIT) $(CONTRACT) $(RACE)
	@tests/run $(B) $(PYTESTS) $(UNIT) $(CONTRACT) $(RACE)
check-unit: $(UNIT) ## the parts of check
	@tests/run $(B) $(UNIT)
check-contract: $(CONTRACT)
	@tests/run $(B) $(CONTRACT)
check-interop: all $(TESTPLUGINS)
	@tests/run $(B) $(wildcard tests/interop/test_*.py)
interop-latest: ## the interop tests with PyPI's newest Celery
	@$(SUBMAKE) WERROR=1 all $(TESTPLUGINS)
	@tests/interop-latest $(B) $(filter-out %/test_deploy.py,$(wildcard tests/interop/test_*.py))
check-faults: all $(TESTPLUGINS)
	@tests/run $(B) $(wildcard tests/faults/test_*.py)
check-race: $(RACE)
	@tests/run $(B) $(RACE)
check-tsan: ## tests/race under TSan
	@$(SUBMAKE) SAN=thread check-race
check-oom: ## every allocation fails once, under ASan
	@$(SUBMAKE) SAN=address,undefined run-oom
run-oom: $(OOM)
	@tests/run $(B) $(OOM)
bench: all $(BENCH) ## Lovage beside Celery: a table, and build/bench.json; ROWS=noop,llm
	@tests/bench/run $(B)/$(NAME) "$(ROWS)"
faults: all $(TESTPLUGINS) ## the fault table, and build/faults.json; ROWS= BROKERS= ACKS= TASKS=
	@tests/faults/table $(B)/$(NAME) --rows "$(ROWS)" --brokers "$(BROKERS)" \
	  --acks "$(ACKS)" $(if $(TASKS),--tasks $(TASKS))

.PHONY: install uninstall docs
SHARE := $(DESTDIR)$(PREFIX)/share/$(NAME)
install: all ## binary, header, pkg-config file, models file; DESTDIR= PREFIX=
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include/lovage \
	  $(DESTDIR)$(PREFIX)/lib/pkgconfig $(SHARE)
	install -m 755 $(B)/$(NAME) $(DESTDIR)$(PREFIX)/bin/$(NAME)
	install -m 644 include/lovage/*.h $(DESTDIR)$(PREFIX)/include/lovage
	install -m 644 $(EXAMPLES) $(SHARE)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' deploy/lovage.pc.in \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/lovage.pc
	chmod 644 $(DESTDIR)$(PREFIX)/lib/pkgconfig/lovage.pc
uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/$(NAME) $(DESTDIR)$(PREFIX)/lib/pkgconfig/lovage.pc \
	  $(patsubst include/%,$(DESTDIR)$(PREFIX)/include/%,$(wildcard include/lovage/*.h)) \
	  $(patsubst %,$(SHARE)/%,$(notdir $(EXAMPLES)))
	-rmdir $(DESTDIR)$(PREFIX)/include/lovage $(SHARE)
docs: $(B)/$(NAME) ## write docs/configuration.md
	$(B)/$(NAME) config --manual > docs/configuration.md

.PHONY: format format-check lint tidy fuzz coverage hooks clean help
format: ## rewrite in place
	clang-format -i $(ALLSRC)
format-check:
	@clang-format --dry-run --Werror $(ALLSRC)
lint: format-check ## format, floors, headers, sizes, banned, scripts, cppcheck
	@tests/lint/lint-floors
	@tests/lint/lint-headers $(filter %.h,$(SRC))
	@tests/lint/lint-size $(ALLSRC)
	@tests/lint/lint-banned $(SRC)
	@tests/lint/lint-scripts
	@cppcheck --quiet --std=c11 -U__clang__ --error-exitcode=1 --inline-suppr \
	  --enable=warning,portability -I. -Iinclude $(filter %.c,$(SRC))
tidy: $(patsubst %.c,build/tidy/%.ok,$(filter %.c,$(SRC))) ## clang-tidy; slow
build/tidy/%.ok: %.c .clang-tidy
	@mkdir -p $(@D)
	clang-tidy --quiet $< -- $(CPPFLAGS) $(CFLAGS)
	@touch $@
FUZZ_TIME ?= 30
fuzz: $(B)/models.c ## libFuzzer, FUZZ_TIME seconds per target
	@mkdir -p build/fuzz
	@set -e; for f in $(FUZZ); do n=$$(basename $$f .c); mkdir -p build/fuzz/$$n.corpus; \
	  clang $(CPPFLAGS) -g -O1 -fsanitize=fuzzer,address,undefined $(PKGCFLAGS) \
	    -fno-sanitize-recover=all -o build/fuzz/$$n $$f \
	    $(wildcard base/*.c protocol/*.c) $(FUZZAPI) $(FUZZSTORE) $< $(PKGLIBS) $(SYSLIBS); \
	  build/fuzz/$$n -max_total_time=$(FUZZ_TIME) build/fuzz/$$n.corpus \
	    $$(ls -d tests/fuzz/corpus/$$n 2>/dev/null); done
coverage: ## all tests with gcov; HTML in build/coverage
	@LOVAGE_TEST_SLOW=2 $(SUBMAKE) COV=1 run-tests
	@mkdir -p build/coverage
	gcovr --root . --exclude tests/ --exclude examples/ build/cov \
	  --html-details build/coverage/index.html --print-summary
hooks: ## install the pre-commit hook
	git config core.hooksPath tests/lint/hooks
clean: ## remove build/
	rm -rf build
help: ## this list
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t18

-include $(shell find $(B) -name '*.d' 2>/dev/null)
