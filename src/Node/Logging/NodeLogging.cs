using KvStore.Node.Config;
using Serilog;
using Serilog.Configuration;
using Serilog.Core;
using Serilog.Events;
using Serilog.Extensions.Logging;
using Serilog.Formatting.Json;

namespace KvStore.Node.Logging;

/// <summary>Serilog on standard output: lines for people, or one JSON object per line. The node is a property of every line.</summary>
internal static class NodeLogging
{
    /// <summary>Lines that a terminal or a pipe has not taken. Full: a line is dropped, for nobody who serves waits for a terminal.</summary>
    private const int MaxWaitingLines = 10_000;

    /// <summary>For so long at most a stop waits until the last lines have been taken.</summary>
    private const int LastLinesMs = 2000;

    private const string TextTemplate = "{Timestamp:HH:mm:ss.fff} {Level:u3} {Node} {Message:lj}{NewLine}{Exception}";

    public static Logger Create(LogSettings settings)
    {
        var configuration = new LoggerConfiguration()
            .MinimumLevel.Is(settings.Level)
            .MinimumLevel.Override("Microsoft", (LogEventLevel)Math.Max((int)settings.Level, (int)LogEventLevel.Warning))
            .MinimumLevel.Override("Microsoft.Extensions.Hosting", LogEventLevel.Fatal) // a port in use is one message, ours

            // It would make an activity and a scope for every request, for lines that are never written: RequestBoundary logs what fails.
            .MinimumLevel.Override("Microsoft.AspNetCore.Hosting.Diagnostics", LevelAlias.Off);
        return configuration.WriteTo.Async(OnConsole, MaxWaitingLines, blockWhenFull: false).CreateLogger();

        void OnConsole(LoggerSinkConfiguration to)
        {
            _ = settings.Format == LogFormat.Json
                ? to.Console(new JsonFormatter(renderMessage: true))
                : to.Console(outputTemplate: TextTemplate);
        }
    }

    /// <summary>Writes what is waiting; what nobody takes is dropped, so that a process never outlives its stop for want of a reader.</summary>
    public static Task CloseAsync(Logger logger) => Task.WhenAny(Task.Run(logger.Dispose), Task.Delay(LastLinesMs));

    /// <summary>The log of one node: several nodes in one process share the console and nothing else.</summary>
    public static ILoggerFactory ForNode(Logger logger, string node) =>
        new SerilogLoggerFactory(logger.ForContext("Node", node), dispose: false);
}
