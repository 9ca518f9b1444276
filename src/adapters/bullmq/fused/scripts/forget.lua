-- A queue was removed as a whole.
--
-- KEYS  1 the locks its jobs wait for  2 whether a sweep was made lately
return call('DEL', KEYS[1], KEYS[2])
