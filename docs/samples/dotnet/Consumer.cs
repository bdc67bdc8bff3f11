using System.Text.Json;
using System.Text.RegularExpressions;
using Azure.Messaging.ServiceBus;
using Microsoft.Data.Sqlite;

namespace Samples;

/// <summary>
/// Bills each order once. Service Bus delivers at least once; what makes the effect happen once is one
/// transaction that holds it and the event's id, and that the message is completed only after it.
/// Not compiled and not run here; see ../README.md.
/// </summary>
public sealed class Consumer(ServiceBusClient client, string connectionString)
{
    private const string Subscription = "billing";

    public async Task RunAsync(CancellationToken cancel)
    {
        CreateTables();
        await using var processor = client.CreateSessionProcessor("orders", Subscription, new ServiceBusSessionProcessorOptions
        {
            AutoCompleteMessages = false,
            // Streams side by side; within a session one message at a time keeps the order.
            MaxConcurrentSessions = 16,
            MaxConcurrentCallsPerSession = 1,
            // Prefetched messages of a session burn their deliveries when the process dies.
            PrefetchCount = 0,
        });
        processor.ProcessMessageAsync += HandleAsync;
        processor.ProcessErrorAsync += error =>
        {
            Console.Error.WriteLine($"{error.ErrorSource}: {error.Exception.Message}");
            return Task.CompletedTask;
        };
        await processor.StartProcessingAsync(cancel);
        try
        {
            await Task.Delay(Timeout.Infinite, cancel);
        }
        catch (OperationCanceledException)
        {
            await processor.StopProcessingAsync(CancellationToken.None);
        }
    }

    private async Task HandleAsync(ProcessSessionMessageEventArgs args)
    {
        var message = args.Message;
        var onlyFor = Attribute(message, "onlyfor");
        if (onlyFor is not null && onlyFor != Subscription)
        {
            // Sent again for another subscription, and this one has no rule that keeps it away.
            await args.CompleteMessageAsync(message);
            return;
        }
        if ((Attribute(message, "type") ?? message.Subject) != nameof(OrderCreatedEvent))
        {
            await args.CompleteMessageAsync(message);
            return;
        }
        OrderCreatedEvent? order;
        try
        {
            order = JsonSerializer.Deserialize<OrderCreatedEvent>(message.Body.ToMemory().Span, OrderCreatedEvent.Json);
        }
        catch (JsonException error)
        {
            // It will never be JSON. A person finds it with: tidemark dead-letters list
            await args.DeadLetterMessageAsync(message, "NotJson", error.Message);
            return;
        }
        if (order is null)
        {
            await args.DeadLetterMessageAsync(message, "Empty", "The body is null.");
            return;
        }
        // What throws here abandons the message: it comes again, up to the subscription's delivery count.
        BillOnce(IdOf(message), order);
        await args.CompleteMessageAsync(message);
    }

    private void BillOnce(string id, OrderCreatedEvent order)
    {
        using var connection = new SqliteConnection(connectionString);
        connection.Open();
        using var transaction = connection.BeginTransaction();
        using var remember = connection.CreateCommand();
        remember.Transaction = transaction;
        remember.CommandText = "INSERT INTO processed (id, at) VALUES ($id, datetime('now')) ON CONFLICT DO NOTHING";
        remember.Parameters.AddWithValue("$id", id);
        if (remember.ExecuteNonQuery() > 0)
        {
            using var bill = connection.CreateCommand();
            bill.Transaction = transaction;
            bill.CommandText = "INSERT INTO bills (order_id, total) VALUES ($order, $total)";
            bill.Parameters.AddWithValue("$order", order.OrderId);
            bill.Parameters.AddWithValue("$total", order.Total);
            bill.ExecuteNonQuery();
        }
        transaction.Commit();
    }

    private void CreateTables()
    {
        using var connection = new SqliteConnection(connectionString);
        connection.Open();
        using var create = connection.CreateCommand();
        create.CommandText = """
            CREATE TABLE IF NOT EXISTS processed (id TEXT PRIMARY KEY, at TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS bills (order_id TEXT PRIMARY KEY, total INTEGER NOT NULL);
            """;
        create.ExecuteNonQuery();
    }

    /// <summary>The event's id: it stays the same when the message is sent again under another message id.</summary>
    private static string IdOf(ServiceBusReceivedMessage message) =>
        Attribute(message, "id") ?? Regex.Replace(message.MessageId, @"#\d+$", "");

    /// <summary>An attribute of a CloudEvent; both prefixes are allowed.</summary>
    private static string? Attribute(ServiceBusReceivedMessage message, string name) =>
        message.ApplicationProperties.TryGetValue($"cloudEvents_{name}", out var value)
        || message.ApplicationProperties.TryGetValue($"cloudEvents:{name}", out value)
            ? Convert.ToString(value)
            : null;
}
