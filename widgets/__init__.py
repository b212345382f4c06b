"""The parts that screens are made of. They know no service: data comes in as plain values, wishes go out as messages.

Text from outside is never markup: hand in ``str``, or ``rich.text.Text`` whose styles are the names of paints
(`widgets.paint.PAINTS`: strong, muted, accent, good, warn, bad, heading, key, danger, armed, quiet …). Control
characters are made visible here. Nothing is docked: a screen yields header, content, error bar, jobs, footer in order.

theme          `DARK`, `LIGHT`, `THEMES` (register them, ``app.theme = DARK.name``); `State` (``.glyph .word .paint
               .text(word)``); ``sign(name)``; ``use_plain_glyphs()`` for terminals without UTF-8
paint, fit     `Painted` (base on the line API: ``strip(parts, width, ground=…)``, ``paint(name)``); ``clip``,
               ``clip_middle``, ``padded``, ``wrapped``, ``shown``
meter_text     ``grouped compact age next_age_step elapsed clock price percent bar``;  spark  ``spark(values, width)``
plot           ``bars(values, width, height)``
note           `Note(*lines, ground)`: ``show(*lines)`` of parts ``(text, paint)``;  listing  `Listing`: base of lists
table_rows     `Column(id, title, width, grow, right, middle, priority, sortable)`, `Rows` (Protocol), `ListRows(rows)`
virtual_table  `VirtualTable(columns, empty=, can_mark=)`: ``show(rows)``, ``refresh_keys``, ``mark_changed``,
               ``move_to``, ``set_marks``, ``set_columns``, ``set_empty``, ``sorted_by(column, descending)``;
               ``rows columns shown_columns cursor_key cursor_position marks targets``;
               `Opened(key)`, `Moved(key)`, `MarksChanged(marks)`, `SortAsked(column, descending)`
feed           `FeedView(ring, empty=)`, `Ring` (Protocol: ``first last dropped line(seq)``): ``advance()``,
               ``set_ring``, ``set_filter(seq -> bool)``, ``set_summary(cell)``; ``following unread cursor_seq shown``;
               `Opened(seq)`, `Moved(seq)`, `FollowChanged(following)`
diff_view      `DiffView(changes)`, `Change(title, effect, fields, note)`, `FieldDiff(path, before, after)`:
               ``show(changes)``, ``change``, ``changes``
checklist      `Checklist(steps)`, `Step(name, state, seconds, detail)`: ``show(steps)``, ``put(position, step)``,
               ``detail(position, text)``
prompt         `Prompt(lead=, value=, placeholder=, suggest=)`, `Suggestion` (Protocol), `Suggested`: ``text``,
               ``set_text``, ``set_suggest``, ``say(*lines)``, ``say_beside(*parts)``; `Prompt.Changed(text)`,
               `Prompt.Submitted(text)`, `Prompt.Left`
filter_bar     `FilterBar(Prompt)`: ``show_count(found, total)``, ``show_error(sentence, start, end)``, ``clear_error``
command_line   `CommandLine(Prompt)`: ``open(text)``, ``remember(command)``, ``show_error``, ``history``
latest         `Latest(run)`: ``wish(value)``, ``busy``, ``await settled()``: one run at a time, the newest wish wins
field_specs    `FieldSpec`, `FieldKind`, ``specs_of(parameters)``;  form  `Form(specs)`, ``form_from(parameters)``:
               ``values``, ``given``, ``errors``, ``set_value``, ``show_errors``, ``submit()``; `Changed(name, values)`,
               `Submitted(values)`
confirm        `Confirm(question, facts=, yes=, no=, danger=)`, `TypedConfirm(question, name, facts=)`: True or False
reveal         `Reveal(revealed, title=, facts=)`: `CopyAsked(reveal)` → ``reveal.hand_to(copy)``, ``reveal.say``
secret_line    `SecretLine(make)`: `Given(made)`; the secret itself is neither shown nor told
books          `FaultBook` (``add(Fault(what, state, then, at))``, ``unread``, ``read()``), `JobBook` (``put(Job(…))``,
               ``running``): owned by the app, listened to by the widgets of every screen
error_bar      `ErrorBar(book)`; `ErrorList(book)`: a dialog;  jobs  `JobsDrawer(book)`: ``toggle()``;
               `CancelAsked(job)`, `Opened(job)`, `Closed`
status_line    `StatusLine(tabs, active, status)`, `Tab(key, title)`, `Link(name, state, word)`, `Status(program,
               profile, protected, read_only, armed_seconds, tenant, links)`: ``show(status)``, ``show_tabs``;
               `TabAsked(key)`
key_footer     `KeyFooter(always=ids, jobs=callable)`: ``update()``; ``live_keys(screen)``
help_overlay   `HelpOverlay(screen)`; a class says ``HELP_TITLE`` to name its group

A binding without an id is taken for one of Textual's own: footer and help leave it out.
"""
