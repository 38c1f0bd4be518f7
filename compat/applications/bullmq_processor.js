// What a sandboxed processor of BullMQ runs, in a process of its own.
'use strict';

module.exports = async (job) => {
  await job.updateProgress(50);
  return job.data.number * 2;
};
