using System.Text.Json;
using System.Threading.Channels;

namespace KvStore.LoadTests.Chaos;

/// <summary>history.jsonl: one JSON object per line, in the order in which operations ended.</summary>
internal sealed class HistoryFile : IAsyncDisposable
{
    private readonly Channel<HistoryRecord> _records = Channel.CreateUnbounded<HistoryRecord>();
    private readonly Task _writing;

    public HistoryFile(string path)
    {
        _writing = Task.Run(() => WriteAsync(path));
    }

    public void Add(HistoryRecord record) => _records.Writer.TryWrite(record);

    public static string ToLine(HistoryRecord record) => JsonSerializer.Serialize(record, HistoryJson.Default.HistoryRecord);

    /// <exception cref="InvalidDataException">The line is not a record of a history.</exception>
    public static HistoryRecord Parse(string line, string where)
    {
        try
        {
            return JsonSerializer.Deserialize(line, HistoryJson.Default.HistoryRecord)
                ?? throw new InvalidDataException($"{where}: null is not a record");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{where}: {e.Message}", e);
        }
    }

    /// <exception cref="InvalidDataException">A line is not a record of a history.</exception>
    public static IEnumerable<HistoryRecord> Read(string path) =>
        File.ReadLines(path).Select((line, index) => Parse(line, $"{path}:{index + 1}"));

    /// <summary>Writes out what has been added.</summary>
    public async ValueTask DisposeAsync()
    {
        _records.Writer.TryComplete();
        await _writing;
    }

    private async Task WriteAsync(string path)
    {
        await using var file = new StreamWriter(path);
        await foreach (var record in _records.Reader.ReadAllAsync())
        {
            await file.WriteLineAsync(ToLine(record));
        }
    }
}
