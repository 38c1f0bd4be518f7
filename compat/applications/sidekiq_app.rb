# Sidekiq: jobs over weighted queues through worker processes, as `sidekiq` starts them, one of which is ended in the middle of its work.
# Scheduled jobs, retries, dead jobs, quieting, and what Sidekiq's API says of them. The environment's JOBS says how many jobs there are.
require "fileutils"
require "tmpdir"

ENV["REDIS_URL"] = "redis://127.0.0.1:#{Integer(ARGV.fetch(0))}"
require_relative "sidekiq_jobs"

JOBS = Integer(ENV.fetch("JOBS", "20000"))
PATIENCE_S = 100
DIRECTORY = Dir.mktmpdir
WEIGHTS = { "critical" => 6, "default" => 3, "low" => 1 }.freeze
HELD = %w[held-1 held-2 held-3].freeze

def same(wanted, is)
  raise "#{is.inspect}, not #{wanted.inspect}" unless wanted == is
end

def holds(what, is_so)
  raise "not so: #{what}" unless is_so
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def wait_until(what)
  deadline = now + PATIENCE_S
  until (is_so = yield)
    raise "not within #{PATIENCE_S} s: #{what}" if now > deadline
    sleep 0.02
  end
  is_so
end

def redis(&block)
  Sidekiq.redis(&block)
end

def done?(ids)
  redis { |redis| redis.mapped_hmget("done", *ids) }.values.all?
end

# A worker process. What it writes is in a file.
class Worker
  attr_reader :pid

  def initialize(name, queues)
    @name = name
    queues = queues.flat_map { |queue, weight| ["-q", "#{queue},#{weight}"] }
    command = ["sidekiq", "-r", File.join(__dir__, "sidekiq_jobs.rb"), "-e", "production", "-g", name, "-c", "8", "-t", "4", *queues]
    @pid = Process.spawn(*command, %i[out err] => log)
  end

  def log
    File.join(DIRECTORY, @name)
  end

  # As the API shows it.
  def shown
    Sidekiq::ProcessSet.new.find { |process| process["pid"] == @pid }
  end

  def running?
    @status ||= Process.wait2(@pid, Process::WNOHANG)&.last
    @status.nil?
  end

  def has_ended_well
    wait_until("#{@name} ends") { !running? }
    same(0, @status.exitstatus)
    # What the jobs raise is in the log too.
    same([], File.readlines(log).grep(/Redis::|heartbeat:|Error fetching|Internal exception|Failed to requeue/))
    holds("the API does not show #{@name}", shown.nil?)
  end
end

def pushing
  third = JOBS * 3 / 10
  ids = { "critical" => third, "default" => third, "low" => JOBS - 2 * third }.to_h do |queue, count|
    [queue, (0...count).map { |number| "#{queue}-#{number}" }]
  end
  begun = Time.now
  same(24, Job.set(queue: "critical").perform_async(ids["critical"].first).size)
  same(nil, Job.perform_async("refused"))
  ids["critical"].drop(1).each { |id| Sidekiq::Client.enqueue_to("critical", Job, id) }
  same(third, Job.perform_bulk(ids["default"].map { |id| [id] }).uniq.size)
  ids["low"].each_slice(700) do |some|
    same(some.size, Sidekiq::Client.push_bulk("class" => Job, "queue" => "low", "args" => some.map { |id| [id] }).size)
  end

  sizes = ids.transform_values(&:size)
  same(sizes, Sidekiq::Queue.all.to_h { |queue| [queue.name, queue.size] })
  same(sizes, Sidekiq::Stats.new.queues)
  stats = Sidekiq::Stats.new
  same([JOBS, 0, 0, 0], [stats.enqueued, stats.processed, stats.failed, stats.processes_size])
  ages = [stats.default_queue_latency, Sidekiq::Queue.new.latency, Sidekiq::Queue.new("critical").latency, Time.now - begun]
  holds("#{ages} are ages, the last of which is that of all", ages.first.positive? && ages == ages.sort)
  ids.values.flatten
end

# One job among others, taken out; then all the others.
def a_queue_by_its_api
  jids = Job.set(queue: "spare").perform_bulk((0...130).map { |number| ["spare-#{number}"] })
  queue = Sidekiq::Queue.new("spare")
  job = queue.find_job(jids[3])
  same([["spare-3"], "spare", "marked"], [job.args, job.queue, job["mark"]])
  same([true, false], [job.delete, job.delete])
  same(nil, queue.find_job(jids[3]))
  same([129, jids - [jids[3]]], [queue.size, queue.map(&:jid).reverse])
  queue.clear
  same([0, 0], [queue.size, queue.latency])
  holds("it is no queue any more", Sidekiq::Queue.all.none? { |one| one.name == "spare" })
end

# Jobs for later: found, moved, put forward and taken out. Says which are left to be done, and which of those when.
def scheduling
  later = Time.now.to_f + 3600
  times = Array.new(300) { |number| later + number / 7.0 }
  jids = Sidekiq::Client.push_bulk("class" => Job, "args" => (0...300).map { |number| ["later-#{number}"] }, "at" => times)
  set = Sidekiq::ScheduledSet.new
  same([300, 300], [set.size, Sidekiq::Stats.new.scheduled_size])
  same(jids.reverse, set.map(&:jid))
  found = set.find_job(jids[7])
  same([["later-7"], times[7]], [found.args, found.score])
  same(jids[200..249], set.fetch(times[200]..times[249]).map(&:jid))
  same([jids[9]], set.fetch(times[9], jids[9]).map(&:jid))
  same(["later-29", *(290..299).map { |number| "later-#{number}" }], set.scan("later-29").flat_map(&:args).sort)
  found.reschedule(later - 50)
  last = set.to_a.last
  holds("it is the first now", last.jid == jids[7] && (last.score - later + 50).abs < 0.001)
  set.find_job(jids[8]).add_to_queue
  same(["later-8"], Sidekiq::Queue.new.first.args)
  holds("it is deleted", set.find_job(jids[9]).delete)
  # Several of the same time, one of which goes.
  twins = %w[twin-1 twin-2 twin-3].map { |id| Job.perform_at(later + 1000, id) }
  set.find_job(twins[1]).add_to_queue
  same([twins[0], twins[2]].sort, set.fetch(later + 1000).map(&:jid).sort)
  same(300, set.size)
  set.clear
  same(0, Sidekiq::ScheduledSet.new.size)

  due = Array.new(30) { |number| ["due-#{number}", Time.now.to_f + 1 + number / 10.0] }.to_h
  due.each { |id, time| Job.set(queue: "critical").perform_at(time, id) }
  [%w[later-8 twin-2], due]
end

# Jobs that failed, by hand: tried again twice, tried again in vain, killed; what is dead comes to life.
def retrying(patient, dying, killed)
  of = ->(id) { Sidekiq::RetrySet.new.find { |job| job.args == [id] } }
  2.times do |count|
    job = wait_until("#{patient} has failed") { (job = of[patient]) && job["retry_count"] == count && job }
    same(["RuntimeError", "not yet", true], [job["error_class"], job["error_message"], job.error?])
    holds("it is to come in an hour", (job.at - Time.now).between?(3500, 3700))
    job.reschedule(Time.now)
  end
  wait_until("#{dying} has failed") { of[dying] }.add_to_queue
  wait_until("#{killed} has failed") { of[killed] }.kill
  wait_until("both are dead") { Sidekiq::DeadSet.new.size == 2 }
  same(2, Sidekiq::Stats.new.dead_size)
  dead = Sidekiq::DeadSet.new.to_h { |job| [job.args.first, job] }
  same([dying, killed].sort, dead.keys.sort)
  same(["ArgumentError", "no hope, \u{1f61e}", 1], dead[dying].item.values_at("error_class", "error_message", "retry_count"))
  holds("it says where", dead[dying].error_backtrace.first.include?("sidekiq_jobs.rb"))
  same({ dying => "no hope, \u{1f61e}" }, redis { |redis| redis.hgetall("exhausted") })
  redis { |redis| redis.set("hope", 1) }
  Sidekiq::DeadSet.new.retry_all
  wait_until("all are done") { done?([patient, dying, killed]) }
  same([[], 0], [[patient, dying, killed].filter_map(&of), Sidekiq::DeadSet.new.size])
end

# Whether queues were worked on by their weights until one of them was nearly empty.
def weighed(done)
  times = WEIGHTS.to_h { |queue, _| [queue, done.select { |id, _| id.start_with?("#{queue}-") }.map { |_, value| value.split.last.to_f }.sort] }
  end_of_critical = times["critical"][times["critical"].size * 9 / 10]
  counts = times.transform_values { |all| all.count { |time| time <= end_of_critical } }
  holds("#{counts} are as 6 to 3 to 1", counts["critical"] > counts["default"] * 1.6 && counts["default"] > counts["low"] * 2)
end

def main(workers)
  numbered = pushing
  a_queue_by_its_api
  put_forward, due = scheduling
  # Each waits in a worker, behind a gate.
  HELD.each { |id| Held.set(queue: "one").perform_async(id, "gate-1") }
  Held.set(queue: "two").perform_async("held-4", "gate-2")
  once = %w[once-1 once-2 once-3].each { |id| FailsOnce.perform_async(id) }
  by_hand = %w[patient dying killed]
  FailsTwice.set(queue: "critical").perform_async("patient")
  %w[dying killed].each { |id| Hopeless.set(queue: "critical").perform_async(id) }
  all = numbered + put_forward + due.keys + HELD + ["held-4"] + once + by_hand

  workers << one = Worker.new("one", WEIGHTS.merge("one" => 2))
  workers << two = Worker.new("two", WEIGHTS.merge("two" => 2))
  wait_until("the API shows both") { one.shown && two.shown }
  same([2, 16], [Sidekiq::ProcessSet.new.size, Sidekiq::ProcessSet.new.total_concurrency])
  same(["one", WEIGHTS.keys + ["one"], false], [one.shown.tag, one.shown.queues, one.shown.stopping?])

  # Sidekiq gives back what does not end within 4 s.
  wait_until("`one` is in the middle") { redis { |redis| redis.hlen("done") > JOBS / 5 && redis.hmget("tries", *HELD).all? } }
  holds("there is more to do", redis { |redis| redis.hlen("done") } < JOBS)
  Process.kill("TERM", one.pid)
  workers << three = Worker.new("three", WEIGHTS.merge("one" => 2))
  one.has_ended_well
  holds("they are not done", HELD.none? { |id| redis { |redis| redis.hexists("done", id) } })
  redis { |redis| redis.set("gate-1", 1) }
  retrying(*by_hand)
  wait_until("all but one are done") { redis { |redis| redis.hlen("done") } == all.size - 1 }
  done = redis { |redis| redis.hgetall("done") }
  same((all - ["held-4"]).sort, done.keys.sort)
  due.each { |id, time| holds("#{id} was not done before its time", done[id].split.last.to_f >= time) }
  weighed(done)
  same([["2"] * 3, ["2"] * 3], redis { |redis| [redis.hmget("tries", *HELD), redis.hmget("tries", *once)] })

  # A quiet worker goes on with what it has, and takes nothing else.
  Process.kill("TSTP", two.pid)
  wait_until("`two` is quiet") { two.shown.stopping? }
  held = [[two.shown.identity, "two", %w[held-4 gate-2]]]
  wait_until("it alone is busy") { Sidekiq::Workers.new.map { |process, _, job| [process, job["queue"], job["payload"]["args"]] } == held }
  wait_until("all figures say so") { [Sidekiq::Workers.new.size, two.shown["busy"], Sidekiq::Stats.new.workers_size] == [1, 1, 1] }
  same(false, three.shown.stopping?)
  others = Array.new(300) { |number| "other-#{number}" }
  others.each { |id| Job.perform_async(id) }
  wait_until("they are done") { done?(others) }
  same([three.pid.to_s], redis { |redis| redis.hmget("done", *others) }.map { |value| value.split.first }.uniq)
  # By the API, as the web page of Sidekiq has it.
  three.shown.stop!
  redis { |redis| redis.set("gate-2", 1) }
  wait_until("it is done") { done?(["held-4"]) }
  Process.kill("TERM", two.pid)
  two.has_ended_well
  three.has_ended_well

  same((all + others).sort, redis { |redis| redis.hkeys("done") }.sort)
  runs, failures = redis { |redis| redis.pipelined { |both| [both.hgetall("runs"), both.get("failures")] } }
  same(["marked"], runs.keys)
  # Those that fail once, the patient one, the dying one, the killed one, and those that were given back.
  same(once.size + 2 + 2 + 1 + HELD.size, failures.to_i)
  same((all + others).size + failures.to_i, runs["marked"].to_i)
  stats = Sidekiq::Stats.new
  same([runs["marked"].to_i, failures.to_i], [stats.processed, stats.failed])
  same([0] * 6, [stats.enqueued, stats.scheduled_size, stats.retry_size, stats.dead_size, stats.processes_size, stats.workers_size])
  history = Sidekiq::Stats::History.new(2)
  same([stats.processed, stats.failed], [history.processed.values.sum, history.failed.values.sum])
  same([[], []], [Sidekiq::ProcessSet.new.to_a, Sidekiq::Workers.new.to_a])
  same([], redis { |redis| redis.scan_each(match: "queue:*").to_a })
  stats.reset
  same([0, 0], [Sidekiq::Stats.new.processed, Sidekiq::Stats.new.failed])
end

workers = []
begin
  main(workers)
rescue Exception
  workers.each { |worker| warn "#{worker.log}:", File.read(worker.log).chars.last(600).join }
  raise
ensure
  workers.select(&:running?).each { |worker| Process.kill("KILL", worker.pid) }
  FileUtils.rm_rf(DIRECTORY)
end
