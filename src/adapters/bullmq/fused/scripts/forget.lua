-- A queue was removed as a whole.
--
-- KEYS  1 the locks its jobs wait for  2 whether a sweep was made lately  3 how far the look at all locks has come
return call('DEL', KEYS[1], KEYS[2], KEYS[3])
