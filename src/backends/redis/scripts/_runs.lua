-- The runs of jobs. At most one claim of a lock is its pending run: the next run, which has not begun. Notes are left with
-- it. They stay until the run ends, so that a step that is repeated is answered as before.

-- Writes which runs there are, when the step is done; and how many durable claims wait.
local function write_runs(l)
  local runs, text = l.runs, ''
  if runs then
    local function add(kind, run)
      local times = digits(run.first or 0) .. ',' .. (run.not_before and digits(run.not_before) or '')
      text = text .. kind .. digits(run.from) .. ',' .. run.count .. ',' .. times .. ',' .. #run.owner .. ':' .. run.owner
    end
    if runs.pending then add('p', runs.pending) end
    for _, run in ipairs(runs.begun) do
      add(run.unasked and 's' or 'b', run)
    end
  end
  if l.runs_changed then
    if text == '' and l.size == 0 then
      call('HDEL', l.details, 'p')
      l.runs = nil
    else
      call('HSET', l.details, 'p', text)
      l.detailed = true
    end
  end
  if l.durable_changed then
    if l.durable > 0 then
      call('HSET', l.details, 'd', l.durable)
    else
      call('HDEL', l.details, 'd')
    end
  end
end

local function runs_change(l)
  if not l.runs then
    l.runs, l.to_keep = { begun = {}, taken = {} }, true
  end
  l.runs_changed, l.write_runs = true, write_runs
  return l.runs
end

-- `by`: 1 when a durable claim was queued, -1 when one left the queue.
local function count_durable(l, by)
  l.durable = math.max(l.durable + by, 0)
  l.durable_changed, l.write_runs, l.to_keep = true, write_runs, true
end

-- The number of the first note of a run that is new.
local function first_note(runs)
  local multiple = 0
  while runs.taken[multiple] do
    multiple = multiple + 1
  end
  runs.taken[multiple] = true
  return multiple * NOTES_OF_A_RUN
end

local function add_note(l, run, owner, text)
  local number = digits(run.from + run.count)
  local fields = { 'm' .. number, #owner .. ':' .. owner .. text }
  if owner ~= run.owner then
    fields[3], fields[4] = 'n' .. owner, number
  end
  call('HSET', l.details, unpack(fields))
  run.count = run.count + 1
  runs_change(l)
  l.detailed = true
end

-- What was left with a run: who left it, and the text, by turns.
local function notes_with(l, run)
  local notes = {}
  for from = 0, run.count - 1, 500 do
    local fields = {}
    for i = from, math.min(from + 500, run.count) - 1 do
      fields[#fields + 1] = 'm' .. digits(run.from + i)
    end
    for _, note in ipairs(call('HMGET', l.details, unpack(fields))) do
      local length, start = string.match(note or '', '^(%d+):()')
      if length then
        notes[#notes + 1] = string.sub(note, start, start + length - 1)
        notes[#notes + 1] = string.sub(note, start + length)
      end
    end
  end
  return notes
end

-- Answers whether anybody but its owner had left one.
local function drop_notes(l, run)
  if run.count == 0 then return false end
  local notes, others = notes_with(l, run), false
  for i = 1, #notes, 2 do
    l.over[#l.over + 1] = 'n' .. notes[i]
    others = others or notes[i] ~= run.owner
  end
  for i = run.from, run.from + run.count - 1 do
    l.over[#l.over + 1] = 'm' .. digits(i)
  end
  work = work + run.count / 200
  return others
end

-- A claim becomes the pending run, with its note, which may be nil.
local function become_pending(l, owner, note, first, not_before)
  local runs = runs_change(l)
  runs.pending = { owner = owner, from = first_note(runs), count = 0, first = first, not_before = not_before }
  if note then add_note(l, runs.pending, owner, note) end
end

-- A claim was granted while another run is pending: nobody can add to its run, which is told its own note.
local function begin_alone(l, owner, note)
  if not note then return end
  local runs = runs_change(l)
  local run = { owner = owner, from = first_note(runs), count = 0 }
  runs.begun[#runs.begun + 1] = run
  add_note(l, run, owner, note)
end

local function begun_of(l, owner)
  for i, run in ipairs(l.runs and l.runs.begun or {}) do
    if run.owner == owner then return run, i end
  end
end

-- The run begins, or did before. `unasked`: not by a word of its owner, who is told of the notes when it asks. Answers the run,
-- where anything was left with it.
local function begin_run(l, owner, unasked)
  local run = l.runs and l.runs.pending
  if run and run.owner == owner then
    local runs = runs_change(l)
    runs.pending, run.unasked, run.not_before = nil, unasked, nil
    if run.count > 0 or unasked then runs.begun[#runs.begun + 1] = run end
  end
  run = begun_of(l, owner)
  if run and run.unasked and not unasked then
    runs_change(l)
    run.unasked = nil
  end
  return run
end

-- A trigger takes back what it left with a run, unless the run's owner was told of it. Answers who left it, and the text, where
-- the owner was.
local function take_back(l, run, owner)
  if not run or run.count == 0 then return {} end
  -- The run's own is the first, if it has one.
  local number = owner == run.owner and run.from or tonumber(call('HGET', l.details, 'n' .. owner) or nil)
  if not number or number < run.from or number >= run.from + run.count then return {} end
  local note = notes_with(l, { from = number, count = 1 })
  if note[1] ~= owner then return {} end
  if run.unasked then
    call('HDEL', l.details, 'n' .. owner, 'm' .. digits(number))
    return {}
  end
  return note
end

-- The run with which this trigger left its note, as far as it has not ended.
local function noted_with(l, owner)
  if not has_runs(l) then return nil end
  local number = tonumber(call('HGET', l.details, 'n' .. owner) or nil)
  if not number then return nil end
  local function has(run)
    return run and number >= run.from and number < run.from + run.count
  end
  if has(l.runs.pending) then return l.runs.pending.owner end
  for _, run in ipairs(l.runs.begun) do
    if has(run) then return run.owner end
  end
end

-- How long a claim has still to wait, apart from others, in ms.
local function early_ms(l, owner)
  local run = l.runs and l.runs.pending
  return run and run.owner == owner and run.not_before and math.max(run.not_before - now, 0) or 0
end
