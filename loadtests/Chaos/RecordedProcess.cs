using System.Text;
using KvStore.LoadTests.Load;
using KvStore.Protocol;

namespace KvStore.LoadTests.Chaos;

/// <summary>
/// One process of a recorded run: one operation after the other at a steady pace. A writer owns its keys alone and never writes
/// a value twice; a reader reads everybody's.
/// </summary>
internal sealed class RecordedProcess(PatientClient client, Recorder recorder, TimeSpan interval, int seed)
{
    private readonly int _process = recorder.NewProcess();
    private readonly Random _random = new(seed);

    public async Task WriteAsync(IReadOnlyList<string> ownKeys, CancellationToken cancellation)
    {
        var ids = RequestIdSource.Random(_random);
        long number = 0;
        await PacedAsync(
            async () =>
            {
                var request = new KvRequest
                {
                    Operation = KvOperation.Put,
                    Key = Draw(ownKeys),
                    Value = Encoding.ASCII.GetBytes($"p{_process}.{++number}"),
                    Id = ids.Begin(),
                };
                await SendAsync(request);
                ids.End(request.Id.Value);
            },
            cancellation);
    }

    public Task ReadAsync(IReadOnlyList<string> keys, CancellationToken cancellation) => PacedAsync(
        () => SendAsync(new KvRequest
        {
            Operation = KvOperation.Get,
            Key = Draw(keys),
            Level = _random.Next(2) == 0 ? ReadLevel.Strong : ReadLevel.Eventual,
        }),
        cancellation);

    private async Task SendAsync(KvRequest request)
    {
        long call = recorder.Now;
        var answer = await client.SendAsync(_random.Next(client.NodeCount), _process, request);
        recorder.Record(_process, request, call, answer);
    }

    // After a long wait the pace is taken up again, not caught up on: a burst is not what this is about.
    private async Task PacedAsync(Func<Task> operateAsync, CancellationToken cancellation)
    {
        long due = recorder.Now + (long)(_random.NextDouble() * interval.TotalNanoseconds);
        while (!cancellation.IsCancellationRequested)
        {
            var wait = TimeSpan.FromMicroseconds((due - recorder.Now) / 1000);
            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (!cancellation.IsCancellationRequested)
            {
                await operateAsync();
            }

            due = Math.Max(due + (long)interval.TotalNanoseconds, recorder.Now);
        }
    }

    private byte[] Draw(IReadOnlyList<string> keys) => Encoding.ASCII.GetBytes(keys[_random.Next(keys.Count)]);
}
