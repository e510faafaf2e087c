using System.Collections.Concurrent;

namespace KvStore.Node.Peers;

/// <summary>Tasks that were started and will be awaited: nothing here is forgotten, and what has ended takes no room.</summary>
internal sealed class TrackedTasks
{
    private readonly ConcurrentDictionary<long, Task> _running = [];
    private long _last;

    public int Count => _running.Count;

    public void Run(Func<Task> work)
    {
        var number = Interlocked.Increment(ref _last);
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _running[number] = RunAsync();
        started.SetResult();

        async Task RunAsync()
        {
            await started.Task.ConfigureAwait(false); // registered before it can end
            try
            {
                await work().ConfigureAwait(false);
            }
            finally
            {
                _running.TryRemove(number, out _);
            }
        }
    }

    public Task WhenAllAsync() => Task.WhenAll(_running.Values);
}
