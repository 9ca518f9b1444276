local taken = bull_active(KEYS, ARGV)
if started_quickly(taken, ARGV[1], ARGV[3]) then return taken end
