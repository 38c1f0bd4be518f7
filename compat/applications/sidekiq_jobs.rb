# The jobs of sidekiq_app.rb, and how it and its workers are set up.
require "sidekiq"
require "sidekiq/api"

# Marks what is pushed, and pushes nothing that is refused.
class Marks
  def call(_job_class, job, _queue, _pool)
    return if job["args"] == ["refused"]
    job["mark"] ||= "marked"
    yield
  end
end

# Counts how often jobs begin, by their mark, and how often they fail.
class Counts
  def call(_worker, job, _queue)
    Sidekiq.redis { |redis| redis.hincrby("runs", job["mark"].to_s, 1) }
    yield
  rescue Exception
    Sidekiq.redis { |redis| redis.incr("failures") }
    raise
  end
end

Sidekiq.configure_client { |config| config.client_middleware { |chain| chain.add(Marks) } }
Sidekiq.configure_server do |config|
  config.client_middleware { |chain| chain.add(Marks) }
  config.server_middleware { |chain| chain.add(Counts) }
  config.options[:poll_interval_average] = 1
end
Sidekiq.logger.level = Logger::WARN
# This Sidekiq calls what the Redis gem warns of, with a line for every job.
Redis.silence_deprecations = true

class Job
  include Sidekiq::Worker

  # With its time and the process, of which the last run counts.
  def done(id)
    Sidekiq.redis { |redis| redis.hset("done", id, "#{Process.pid} #{Time.now.to_f}") }
  end

  def tries(id)
    Sidekiq.redis { |redis| redis.hincrby("tries", id, 1) }
  end

  alias perform done
end

# Goes on until it is told to end.
class Held < Job
  def perform(id, gate)
    tries(id)
    sleep 0.05 until Sidekiq.redis { |redis| redis.exists?(gate) }
    done(id)
  end
end

# Tried again by Sidekiq itself, after one to ten seconds.
class FailsOnce < Job
  sidekiq_retry_in { 1 }

  def perform(id)
    raise "not yet" if tries(id) < 2
    done(id)
  end
end

# Tried again when the application wants it.
class FailsTwice < Job
  sidekiq_retry_in { 3600 }

  def perform(id)
    raise "not yet" if tries(id) < 3
    done(id)
  end
end

class Hopeless < Job
  sidekiq_options retry: 1, backtrace: true
  sidekiq_retry_in { 3600 }
  sidekiq_retries_exhausted { |job, error| Sidekiq.redis { |redis| redis.hset("exhausted", job["args"].first, error.message) } }

  def perform(id)
    raise ArgumentError, "no hope, \u{1f61e}" unless Sidekiq.redis { |redis| redis.exists?("hope") }
    done(id)
  end
end
