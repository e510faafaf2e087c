using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace KvStore.Node.Tests.Hosting;

/// <summary>Keeps log lines with their number and properties.</summary>
internal sealed class LogRecorder : ILoggerFactory, ILogger
{
    private readonly ConcurrentQueue<Line> _lines = [];

    public IEnumerable<Line> Lines => _lines;

    /// <summary>Sees each line while whoever writes it waits.</summary>
    public Action<Line>? Looking { get; set; }

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        var line = new Line(eventId.Id, formatter(state, exception), state as IEnumerable<KeyValuePair<string, object?>> ?? []);
        _lines.Enqueue(line);
        Looking?.Invoke(line);
    }

    public void Dispose()
    {
    }

    public sealed record Line(int Id, string Text, IEnumerable<KeyValuePair<string, object?>> Properties)
    {
        public object? this[string name] => Properties.Single(property => property.Key == name).Value?.ToString();
    }
}
