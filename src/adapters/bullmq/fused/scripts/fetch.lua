-- What a worker takes up: a job that has its lock, or takes it now, is run; any other is parked, and the next is taken up.
-- BullMQ's own script has moved the job to `active` already. What it did for that is undone: the start it counted, and the
-- turn it took of the rate limit.
--
-- Fields that are added to those of the job: slfence, slnotes (as a JSON list), slthen (`drop`, `fail`, `replaced`) and
-- slowner, by whom. Behind the four parts of BullMQ's answer: news, as a list of {what, id, lock, owner}.
local MOST_PARKS = 50
local news = {}
-- Who has the locks that jobs were parked for.
local waited_for = {}

local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end

local function add_field(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

local function put_back(queue, id, terms, due, ms)
  call('LREM', queue .. 'active', 1, id)
  call('DEL', queue .. id .. ':lock')
  call('SREM', queue .. 'stalled', id)
  if call('HINCRBY', queue .. id, 'ats', -1) < 1 then call('HDEL', queue .. id, 'processedOn', 'pb') end
  if call('EXISTS', queue .. 'limiter') == 1 then call('DECR', queue .. 'limiter') end
  park(queue, id, terms, due, ms)
end

-- Tells whose the token is, where it does not tell itself.
local function note_token(queue, id, token)
  if string.sub(token, 1, 8) ~= 'soloist-' then call('HSET', queue .. id, 'slt', token) end
end

-- Claims the lock for a job, or a place in the lock's queue. Answers its fence, or nil and after how many ms it is to look
-- by itself, if it is to.
local function claim(terms, owner)
  local kind = terms.limit > 0 and 's' .. terms.limit or 'x'
  local letter, extra, granted = step(terms, owner, { kind .. ',' .. terms.ttl .. ',new,d' })
  settle(terms, granted)
  if letter ~= 'b' then return extra or '' end
  local left = tonumber(extra[2])
  if terms.mode == 'x' then return nil, left and left + 1 end
  local job = extra[1] ~= '' and look_at(extra[1], terms.key)
  if job and with_stranger(job) then return nil, LOOK_AT_STRANGERS_MS end
  if extra[1] ~= '' and not job then return nil, LOOK_AT_OTHERS_MS end
  return nil, left
end

-- A job that a scheduler made. Answers what becomes of it where it meets a live one, and by whom.
local function tick(terms, owner)
  local strategy = terms.strategy
  local _, holder = live_holder(terms)
  local met = holder or head_of(terms)
  if terms.limit > 0 then met = live_sharers(terms) >= terms.limit and 'others' or nil end
  if not met or met == owner or strategy == 'd' then return nil end
  if strategy == 'r' then return 'fail', met end
  if strategy == 'j' or strategy == 's' then return 'drop', met end
  -- One follows, and no more.
  local kind = terms.limit > 0 and 's' .. terms.limit or 'x'
  local letter, told, granted = step(terms, owner, { '>' .. kind .. ',' .. terms.ttl .. ',db,fm,60000,,,' }, true)
  settle(terms, granted)
  if letter == 'm' then return 'drop', told[4] ~= '' and told[4] or met end
  return nil
end

-- Whether the job that was taken up is run.
local function start(fields, id, queue, token, ahead)
  local opts = field(fields, 'opts')
  local terms = opts and terms_in(opts)
  -- One that is to fail without being run gives up what it has when it does.
  if not terms or field(fields, 'defa') then return true end
  local owner = owner_of(queue, id, terms)
  local waits = field(fields, 'slw')
  local stopped = field(fields, 'sls')
  local begun = field(fields, 'slb')
  local alone = not (terms.mode == 'q' and begun) and not (terms.mode == 'x' and not waits and not has(terms, 't'))
  local notes
  if alone then
    local holder = call('GET', terms.key)
    if holder ~= owner then
      if not holder and terms.limit == 0 and call('EXISTS', terms.queue, terms.details) == 0 then
        if terms.ttl == '0' then
          call('SET', terms.key, owner)
        else
          call('SET', terms.key, owner, 'PX', terms.ttl)
        end
      else
        if has(terms, 't') and not waits then
          local what, by = tick(terms, owner)
          if what then
            add_field(fields, 'slthen', what)
            add_field(fields, 'slowner', by)
            note_token(queue, id, token)
            return true
          end
        end
        -- Once a call for each lock.
        local live = waited_for[terms.key]
        if live == nil then
          local _, holder_now = live_holder(terms)
          live = holder_now or false
        end
        local fence, look_ms = claim(terms, owner)
        if not fence then
          local first = tonumber(field(fields, 'ats')) == 1
          if not waits and not has(terms, 't') and (terms.mode == 'e' or first and terms.mode ~= 'w') then
            -- It had its lock when it was added.
            news[#news + 1] = { 'lapsed', id, terms.key, live or '' }
            if LAPSED ~= 'snooze' then
              release(terms, owner)
              add_field(fields, 'slthen', LAPSED)
              add_field(fields, 'slowner', live or '')
              note_token(queue, id, token)
              return true
            end
          end
          waited_for[terms.key] = live
          if look_ms then look_ms = look_ms + math.max(ahead, 0) end
          put_back(queue, id, terms, waits or 0, look_ms)
          return false
        end
        if waits then call('HDEL', queue .. id, 'slw') end
        if terms.mode == 'x' then rearm(terms) end
      end
    elseif waits then
      call('HDEL', queue .. id, 'slw')
    end
    if terms.mode == 'x' then
      notes = begin_period(terms, owner, queue .. id)
    else
      notes = begin(terms, owner)
    end
  end
  notes = notes or field(fields, 'sln')
  -- Its data holds them already.
  if notes and field(fields, 'slm') then notes = nil end
  if notes then add_field(fields, 'slnotes', notes) end
  note_token(queue, id, token)
  if terms.mode == 'q' and alone and not notes then
    call('HSET', queue .. id, 'slb', 1)
    release(terms, owner)
  end
  if stopped then
    add_field(fields, 'slthen', 'replaced')
    add_field(fields, 'slowner', stopped)
  end
  add_field(fields, 'slfence', new_fence(terms))
  return true
end

-- Goes on from what BullMQ's script answered. `keys` and `argv` are those of moveToActive.
local function fetched(answer, keys, argv)
  local queue = argv[1]
  local opts = nil
  for left = MOST_PARKS, 0, -1 do
    if type(answer) ~= 'table' or type(answer[1]) ~= 'table' then break end
    opts = opts or cmsgpack.unpack(argv[3])
    if start(answer[1], answer[2], queue, opts.token, argv[2] - now_ms()) then break end
    if left == 0 then
      -- There may be more: whoever asked asks again.
      answer = { 0, 0, 0, 0, 'more' }
      break
    end
    answer = bull_active(keys, argv)
  end
  if #news > 0 then
    if type(answer) ~= 'table' then answer = { 0, 0, 0, 0 } end
    answer[5] = answer[5] or 'told'
    answer[6] = news
  end
  return answer
end
